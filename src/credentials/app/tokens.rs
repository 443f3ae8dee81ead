//! The tokens of Apps that one session has: each got once, used while it is fresh, and known until it has ended.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::AppError;
use crate::{
    credentials::{RENEWED, latest::Latest},
    github::RepositoryName,
    policy::app::TokenWish,
    secret::Secret,
};

/// A token of an App, made for one session.
#[derive(Clone)]
pub(crate) struct Token {
    secret: Arc<Secret>,
    repositories: Arc<BTreeSet<RepositoryName>>,
    fresh_until: Instant,
    until: Instant,
}

impl Token {
    /// One that was asked for at `asked`, and lives for so long since then. Of its life the last five minutes are left for what is
    /// under way, or a fifth of it where that is less.
    pub(crate) fn new(secret: Secret, repositories: BTreeSet<RepositoryName>, asked: Instant, life: Duration) -> Self {
        let margin = MARGIN.min(life / 5);
        let (secret, repositories) = (Arc::new(secret), Arc::new(repositories));
        Self { secret, repositories, fresh_until: asked + life.saturating_sub(margin), until: asked + life }
    }

    pub(crate) fn secret(&self) -> &Arc<Secret> {
        &self.secret
    }

    /// What it is good for, by the names that are granted.
    pub(crate) fn repositories(&self) -> &BTreeSet<RepositoryName> {
        &self.repositories
    }

    fn is_alive(&self) -> bool {
        Instant::now() < self.until
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("repositories", &self.repositories).finish_non_exhaustive()
    }
}

/// All tokens of one session.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<State>);

#[derive(Default)]
struct State {
    /// By what was asked for.
    slots: HashMap<(u64, TokenWish), Arc<Slot>>,
    /// Every token that has not ended.
    made: Vec<Token>,
    /// Somebody sees to it that they end with the session.
    is_watched: bool,
}

#[derive(Default)]
struct Slot {
    latest: Latest<Token, AppError>,
    /// The last that was got: good for as long as it lives, where there is no other to be had.
    last: Mutex<Option<Token>>,
    renewed: Mutex<Option<Instant>>,
}

impl Tokens {
    /// The token of the App with this number for what is wished: a fresh one that is there, or what `exchange` gets, which is called once
    /// for all who ask meanwhile. Where there is no other to be had, one that still lives.
    ///
    /// # Errors
    /// Those of `exchange`, which is not called again for a second; [`AppError::Lost`].
    pub(crate) async fn get<F>(&self, app: u64, wish: &TokenWish, exchange: impl FnOnce() -> F) -> Result<Token, AppError>
    where
        F: Future<Output = Result<Token, AppError>> + Send + 'static,
    {
        let slot = self.slot(app, wish);
        let is_fresh = |token: &Token, _| Instant::now() < token.fresh_until;
        let got = slot.latest.get(is_fresh, exchange).await.unwrap_or(Err(AppError::Lost));
        let mut last = locked(&slot.last);
        match got {
            Ok(token) => Ok(last.insert(token).clone()),
            Err(error) => match last.as_ref().filter(|token| token.is_alive()) {
                Some(token) => {
                    tracing::warn!(%error, "an older token of a GitHub App is used for as long as it lives");
                    Ok(token.clone())
                }
                None => Err(error),
            },
        }
    }

    /// Forgets a token that an upstream turned away: whoever asks next has another made. Whether that is so; it is not again within
    /// [`RENEWED`], so that an upstream which turns everything away has no tokens made over and over.
    pub(crate) fn forget(&self, turned_away: &Secret) -> bool {
        let slots: Vec<_> = self.lock().slots.values().cloned().collect();
        slots.iter().any(|slot| slot.forget(turned_away))
    }

    /// Remembers a token until it has ended: to be looked for in what leaves, and to be taken back.
    pub(crate) fn keep(&self, token: Token) {
        let mut state = self.lock();
        state.made.retain(Token::is_alive);
        state.made.push(token);
    }

    /// Whether nobody sees yet to it that they end with the session; from now on the caller does.
    pub(crate) fn begin_watch(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_watched, true)
    }

    /// All that have not ended, as nobody uses them any more.
    pub(crate) fn take(&self) -> Vec<Token> {
        let mut made = std::mem::take(&mut *self.lock()).made;
        made.retain(Token::is_alive);
        made
    }

    /// What they say.
    pub(crate) fn held(&self) -> Vec<Arc<Secret>> {
        self.lock().made.iter().filter(|token| token.is_alive()).map(|token| Arc::clone(token.secret())).collect()
    }

    fn slot(&self, app: u64, wish: &TokenWish) -> Arc<Slot> {
        let mut state = self.lock();
        if state.slots.len() >= MAX_SLOTS && !state.slots.contains_key(&(app, wish.clone())) {
            // Wishes change with the grant.
            state.slots.retain(|_, slot| Arc::strong_count(slot) > 1 || locked(&slot.last).as_ref().is_some_and(Token::is_alive));
        }
        Arc::clone(state.slots.entry((app, wish.clone())).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.0)
    }
}

impl Slot {
    fn forget(&self, turned_away: &Secret) -> bool {
        let is_it = |token: &Token| token.secret().expose() == turned_away.expose();
        let mut renewed = locked(&self.renewed);
        if renewed.is_some_and(|renewed| renewed.elapsed() < RENEWED) || !self.latest.forget(|token, _| is_it(token)) {
            return false;
        }
        locked(&self.last).take_if(|token| is_it(token));
        *renewed = Some(Instant::now());
        true
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of a token's life, what is left for what is under way.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// What may be wished before wishes of before are forgotten.
const MAX_SLOTS: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::task::yield_now;

    use super::*;
    use crate::policy::{
        app::wish_token,
        grant::{Access, Grant, RepositoryGrant},
    };

    fn wish(access: Access) -> TokenWish {
        let name = RepositoryName::parse("octo/spoon").unwrap();
        wish_token(
            &Grant::new(vec![RepositoryGrant { access: Access::Write, ..RepositoryGrant::reading(name.clone()) }]).unwrap(),
            &name,
            access,
        )
        .unwrap()
    }

    /// How a token is when it is looked at next.
    #[derive(Clone, Copy)]
    enum Age {
        Fresh,
        /// It lives, and another is to be made.
        Stale,
        Over,
    }

    impl Age {
        fn token(self, text: &str) -> Token {
            let token = Token::new(Secret::new(text), wish(Access::Read).repositories().clone(), Instant::now(), HOUR);
            match self {
                Self::Fresh => token,
                Self::Stale => Token { fresh_until: Instant::now(), ..token },
                Self::Over => Token { fresh_until: Instant::now(), until: Instant::now(), ..token },
            }
        }
    }

    /// A GitHub that gives tokens, each with its number, or none.
    struct Made {
        age: Age,
        count: Arc<AtomicU32>,
        fails: bool,
    }

    impl Made {
        fn of(age: Age) -> Self {
            Self { age, count: Arc::default(), fails: false }
        }

        fn so_far(&self) -> u32 {
            self.count.load(Ordering::Relaxed)
        }

        /// What whoever asks is told.
        async fn ask(&self, tokens: &Tokens, access: Access) -> Result<String, AppError> {
            let (age, count, fails) = (self.age, Arc::clone(&self.count), self.fails);
            let exchange = || async move {
                let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                yield_now().await;
                if fails { Err(AppError::Status(500)) } else { Ok(age.token(&format!("ghs_{number}"))) }
            };
            let token = tokens.get(7, &wish(access), exchange).await?;
            Ok(String::from_utf8(token.secret().expose().to_vec()).unwrap())
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn of_a_life_the_last_five_minutes_are_left_or_a_fifth() {
        let asked = Instant::now();
        for (life, fresh) in [(3600, 3300), (1500, 1200), (30, 24), (0, 0)] {
            let token = Token::new(Secret::new("x"), BTreeSet::new(), asked, Duration::from_secs(life));
            assert_eq!((token.until - asked, token.fresh_until - asked), (Duration::from_secs(life), Duration::from_secs(fresh)));
        }
    }

    #[tokio::test]
    async fn a_token_is_made_once_for_all_who_ask() {
        let (tokens, made) = (Tokens::default(), Made::of(Age::Fresh));
        let all = tokio::join!(made.ask(&tokens, Access::Read), made.ask(&tokens, Access::Read), made.ask(&tokens, Access::Read));
        assert_eq!([all.0, all.1, all.2].map(Result::unwrap), ["ghs_1", "ghs_1", "ghs_1"]);
        assert_eq!(made.ask(&tokens, Access::Write).await.unwrap(), "ghs_2", "what writes is another one");
        assert_eq!(made.ask(&tokens, Access::Read).await.unwrap(), "ghs_1");
        assert_eq!(made.so_far(), 2);
    }

    #[tokio::test]
    async fn a_stale_token_is_replaced_and_serves_while_there_is_no_other() {
        let (tokens, mut made) = (Tokens::default(), Made::of(Age::Stale));
        assert_eq!(made.ask(&tokens, Access::Read).await.unwrap(), "ghs_1");
        assert_eq!(made.ask(&tokens, Access::Read).await.unwrap(), "ghs_2");
        made.fails = true;
        for _ in 0..2 {
            assert_eq!(
                (made.ask(&tokens, Access::Read).await.unwrap().as_str(), made.so_far()),
                ("ghs_2", 3),
                "a failure holds for a second"
            );
        }
        let (tokens, mut made) = (Tokens::default(), Made::of(Age::Over));
        made.ask(&tokens, Access::Read).await.unwrap();
        made.fails = true;
        assert_eq!(made.ask(&tokens, Access::Read).await, Err(AppError::Status(500)));
    }

    #[tokio::test]
    async fn a_token_that_is_turned_away_is_made_anew_once() {
        let (tokens, made) = (Tokens::default(), Made::of(Age::Fresh));
        made.ask(&tokens, Access::Read).await.unwrap();
        assert!(!tokens.forget(&Secret::new("ghs_9")));
        assert!(tokens.forget(&Secret::new("ghs_1")));
        assert!(!tokens.forget(&Secret::new("ghs_1")), "it is forgotten already");
        assert_eq!(made.ask(&tokens, Access::Read).await.unwrap(), "ghs_2");
        assert!(!tokens.forget(&Secret::new("ghs_2")), "not over and over");
        assert_eq!(made.ask(&tokens, Access::Read).await.unwrap(), "ghs_2");
    }

    #[test]
    fn tokens_are_known_until_they_end_and_taken_once() {
        let tokens = Tokens::default();
        tokens.keep(Age::Over.token("ghs_short"));
        tokens.keep(Age::Stale.token("ghs_long"));
        assert_eq!(tokens.held().len(), 1);
        assert!(tokens.begin_watch() && !tokens.begin_watch());
        let taken = tokens.take();
        assert_eq!(taken.iter().map(|token| token.secret().expose()).collect::<Vec<_>>(), [b"ghs_long"]);
        assert!(tokens.take().is_empty() && tokens.begin_watch());
        assert!(!format!("{taken:?} {:?}", taken[0].secret()).contains("ghs_"));
    }

    #[tokio::test]
    async fn wishes_of_before_are_forgotten() {
        let (tokens, made) = (Tokens::default(), Made::of(Age::Over));
        made.ask(&tokens, Access::Read).await.unwrap();
        for number in 0..=u64::try_from(MAX_SLOTS).unwrap() {
            drop(tokens.slot(number, &wish(Access::Write)));
        }
        assert!(tokens.lock().slots.len() <= MAX_SLOTS);
    }
}
