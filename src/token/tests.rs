use base64::prelude::BASE64_STANDARD;
use pasetors::keys::{AsymmetricKeyPair, AsymmetricSecretKey, Generate};
use proptest::prelude::*;

use super::*;

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_262_400)
}

/// A key `k1` whose tokens are accepted.
struct Ground {
    secret: AsymmetricSecretKey<V4>,
    keys: VerifyingKeys,
}

impl Ground {
    fn new() -> Self {
        let pair = AsymmetricKeyPair::<V4>::generate().unwrap();
        let mut keys = VerifyingKeys::default();
        keys.insert(KeyId::parse("k1").unwrap(), pair.public.as_bytes()).unwrap();
        Self { secret: pair.secret, keys }
    }

    fn sign(&self, payload: &str, footer: &str) -> String {
        PublicToken::sign(&self.secret, payload.as_bytes(), Some(footer.as_bytes()), None).unwrap()
    }

    fn token(&self, claims: &Claims) -> String {
        self.sign(&claims.to_payload(), FOOTER)
    }

    fn verify(&self, text: &str) -> Result<Claims, TokenError> {
        verify(text.as_bytes(), &self.keys, noon())
    }
}

fn claims() -> Claims {
    Claims { session: "s1".into(), issued: noon(), expires: Some(noon() + Duration::from_secs(60)) }
}

const FOOTER: &str = r#"{"kid":"k1"}"#;

#[test]
fn what_was_signed_comes_back() {
    let ground = Ground::new();
    for claims in [claims(), Claims { expires: None, ..claims() }, Claims { session: "s1~12".into(), ..claims() }] {
        assert_eq!(ground.verify(&ground.token(&claims)), Ok(claims));
    }
    assert_eq!(claims().to_payload(), r#"{"aud":"tidegate-session","sid":"s1","iat":1795262400,"exp":1795262460}"#);
}

#[test]
fn threat_90_times_that_do_not_hold() {
    let ground = Ground::new();
    let at = |issued: i64, expires: Option<i64>| {
        let moment = |offset: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_262_400_u64.saturating_add_signed(offset));
        ground.verify(&ground.token(&Claims { session: "s1".into(), issued: moment(issued), expires: expires.map(moment) })).map(|_| ())
    };
    assert_eq!(at(-3600, Some(0)), Err(TokenError::Expired));
    assert_eq!(at(-3600, Some(1)), Ok(()));
    assert_eq!(at(30, None), Ok(()));
    assert_eq!(at(31, None), Err(TokenError::Early));
    assert_eq!(at(3600, Some(7200)), Err(TokenError::Early));
}

#[test]
fn threat_90_other_words_than_ours() {
    let ground = Ground::new();
    for (payload, error) in [
        (r#"{"aud":"tidegate-lfs","sid":"s1","iat":1}"#, TokenError::Audience),
        (r#"{"sid":"s1","iat":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1"}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1","iat":1,"nbf":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1","sid":"s2","iat":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s/1","iat":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"","iat":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1~","iat":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1~0","iat":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1~01","iat":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1~+1","iat":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1~1~1","iat":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"~1","iat":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1~4294967296","iat":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1","iat":-1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1","iat":1.0}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1","iat":1,"exp":null}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session","sid":"s1","iat":18446744073709551615}"#, TokenError::Claims),
        (r#"{"sid":"s1","aud":"tidegate-session","iat":1}"#, TokenError::Claims),
        (r#"{"aud":"tidegate-session", "sid":"s1","iat":1}"#, TokenError::Claims),
        ("{}", TokenError::Claims),
        ("not json", TokenError::Claims),
    ] {
        assert_eq!(ground.verify(&ground.sign(payload, FOOTER)), Err(error), "{payload}");
    }
}

#[test]
fn threat_90_keys_that_are_none() {
    let ground = Ground::new();
    let payload = claims().to_payload();
    for (footer, error) in [
        (r#"{"kid":"k2"}"#, TokenError::Key),
        (r#"{"kid":"../../dev/null"}"#, TokenError::Form),
        (r#"{"kid":""}"#, TokenError::Form),
        (r#"{"kid":"k1","jku":"http://evil.test/"}"#, TokenError::Form),
        (r#"{"kid":"k1","kid":"k2"}"#, TokenError::Form),
        (r#"{ "kid":"k1"}"#, TokenError::Form),
        (r#"{"wpk":"k4.public.x"}"#, TokenError::Form),
        ("k1", TokenError::Form),
    ] {
        assert_eq!(ground.verify(&ground.sign(&payload, footer)), Err(error), "{footer}");
    }
    assert_eq!(ground.verify(&Ground::new().token(&claims())), Err(TokenError::Signature), "signed by another key of that name");
}

#[test]
fn threat_90_other_forms() {
    let ground = Ground::new();
    let token = ground.token(&claims());
    let (front, footer) = token.rsplit_once('.').unwrap();
    let payload = BASE64_URL_SAFE_NO_PAD.encode(claims().to_payload());
    for other in [
        front.to_owned(),
        format!("{front}."),
        format!("{front}.{footer}."),
        format!("{front}.{footer}.{footer}"),
        format!("{token}="),
        format!("{token}\n"),
        format!(" {token}"),
        token.replacen("v4.public", "v4.local", 1),
        token.replacen("v4.public", "v2.public", 1),
        token.replacen("v4.public", "V4.public", 1),
        format!("eyJhbGciOiJub25lIn0.{payload}."),
        format!("v4.public.{}.{footer}", "A".repeat(MAX_TOKEN)),
        format!("v4.public..{footer}"),
        "v4.public.".to_owned(),
        String::new(),
    ] {
        assert_eq!(ground.verify(&other), Err(TokenError::Form), "{other}");
    }
    assert_eq!(ground.verify(&format!("v4.public.{payload}.{footer}")), Err(TokenError::Signature), "a signature left out");
    assert_eq!(verify(b"v4.public.\xff.\xff", &ground.keys, noon()), Err(TokenError::Form));
}

/// The last character of a part may have bits that carry nothing, and S of a signature has a second spelling: S + L.
#[test]
fn threat_90_a_token_has_one_spelling() {
    let ground = Ground::new();
    let token = ground.token(&claims());
    let (front, footer) = token.rsplit_once('.').unwrap();
    let message = front.rsplit_once('.').unwrap().1;
    for last in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']) {
        for other in [format!("v4.public.{}{last}.{footer}", &message[..message.len() - 1]), format!("{}{last}", &token[..token.len() - 1])]
        {
            assert_eq!(ground.verify(&other).is_ok(), other == token, "{other}");
        }
    }
    let mut octets = BASE64_URL_SAFE_NO_PAD.decode(message).unwrap();
    let order = BASE64_STANDARD.decode("7dP1XBpjEljWnPei3vneFAAAAAAAAAAAAAAAAAAAABA=").unwrap();
    let start = octets.len() - 32;
    let mut carry = 0;
    for (octet, more) in octets[start..].iter_mut().zip(order) {
        let sum = u16::from(*octet) + u16::from(more) + carry;
        (*octet, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    let other = format!("v4.public.{}.{footer}", BASE64_URL_SAFE_NO_PAD.encode(octets));
    assert_eq!(ground.verify(&other), Err(TokenError::Signature));
}

proptest! {
    #[test]
    fn claims_come_back(session in "[A-Za-z0-9._-]{1,64}", issued in 0..1_795_262_400_u64, expires in proptest::option::of(1_795_262_401..LAST_SECOND)) {
        let moment = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let claims = Claims { session: session.into(), issued: moment(issued), expires: expires.map(moment) };
        let ground = Ground::new();
        prop_assert_eq!(ground.verify(&ground.token(&claims)), Ok(claims));
    }

    #[test]
    fn any_bytes_are_answered(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let ground = Ground::new();
        prop_assert!(verify(&text, &ground.keys, noon()).is_err());
        prop_assert!(verify(&[b"v4.public.", &text[..]].concat(), &ground.keys, noon()).is_err());
    }

    #[test]
    fn one_changed_byte_is_refused(at in 0_usize..1000, to in any::<u8>()) {
        let ground = Ground::new();
        let mut text = ground.token(&claims()).into_bytes();
        let at = at % text.len();
        prop_assume!(text[at] != to);
        text[at] = to;
        prop_assert!(verify(&text, &ground.keys, noon()).is_err());
    }
}
