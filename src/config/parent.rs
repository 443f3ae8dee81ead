//! The URL of a parent proxy.

use toml::Spanned;

use super::sections::Reader;
use crate::{destination::Destination, secret::Secret, upstream::Parent};

impl Reader<'_> {
    /// `http://[user:password@]host:port`. What is wrong with it is said without showing any of it.
    pub(super) fn parent(&mut self, url: &Spanned<String>) -> Option<Parent> {
        match read(url.get_ref()) {
            Ok(parent) => Some(parent),
            Err(what) => {
                self.problems.error(url.span(), what, Some(HELP.into()));
                None
            }
        }
    }
}

fn read(url: &str) -> Result<Parent, &'static str> {
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(if url.starts_with("https://") {
            "a parent proxy is spoken to without TLS: https:// is not supported here"
        } else {
            "the URL of a parent proxy begins with http://"
        });
    };
    // The last "@", so that nothing of a password is taken for something else.
    let (user_information, authority) = match rest.rsplit_once('@') {
        Some((user_information, authority)) => (Some(user_information), authority),
        None => (None, rest),
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.contains(['/', '?', '#']) {
        return Err("the URL of a parent proxy has no path");
    }
    let destination =
        Destination::parse(authority.as_bytes(), None).map_err(|_| "the URL of a parent proxy names its host and its port")?;
    Ok(Parent::new(destination, user_information.map(read_credentials).transpose()?))
}

fn read_credentials(text: &str) -> Result<(Box<str>, Secret), &'static str> {
    let (user, password) = text.split_once(':').ok_or("a user of a parent proxy has a password")?;
    let user = String::from_utf8(decode(user)?).map_err(|_| "a user name of a parent proxy is UTF-8")?;
    if user.contains(':') {
        return Err("a user name of a parent proxy has no colon (RFC 7617, section 2)");
    }
    Ok((user.into(), Secret::new(decode(password)?)))
}

/// What a part of the user information means (RFC 3986, section 3.2.1).
fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    const ESCAPES: &str = "in user and password of a parent proxy, \"%\" begins two hexadecimal digits";
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let octet = match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = digit().zip(digit()).ok_or(ESCAPES)?;
                high << 4 | low
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => byte,
            _ if b"-._~!$&'()*+,;=:".contains(&byte) => byte,
            _ => return Err("user and password of a parent proxy have a character that is written as % and two hexadecimal digits"),
        };
        if octet.is_ascii_control() {
            return Err("user and password of a parent proxy have no control characters (RFC 7617, section 2)");
        }
        octets.push(octet);
    }
    Ok(octets)
}

const HELP: &str =
    "write \"http://HOST:PORT\" or \"http://USER:PASSWORD@HOST:PORT\", where \"@\" and \"/\" in a password are \"%40\" and \"%2F\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_parents() {
        for (url, parent) in [
            ("http://p.example:3128", "p.example:3128"),
            ("http://P.example:80/", "p.example:80"),
            ("http://u:p@[::1]:3128", "[::1]:3128"),
            ("http://u:@192.0.2.1:3128", "192.0.2.1:3128"),
            ("http://u%20x:a:b%40%2f%25@p.example:3128/", "p.example:3128"),
        ] {
            assert_eq!(read(url).unwrap().to_string(), format!("The parent proxy {parent}"), "{url}");
        }
        let (user, password) = read_credentials("u%20x:a:b%40%2f%25").unwrap();
        assert_eq!((&*user, password.expose()), ("u x", &b"a:b@/%"[..]));
    }

    #[test]
    fn urls_of_none() {
        for (url, what) in [
            ("p.example:3128", "begins with http://"),
            ("HTTP://p.example:3128", "begins with http://"),
            ("socks5://p.example:3128", "begins with http://"),
            ("https://p.example:3128", "https:// is not supported"),
            ("http://p.example", "its host and its port"),
            ("http://p.example:0", "its host and its port"),
            ("http://u:secret", "its host and its port"),
            ("http://:3128", "its host and its port"),
            ("http://p.example:3128/x", "no path"),
            ("http://p.example:3128//", "no path"),
            ("http://p.example:3128?x", "no path"),
            ("http://u@p.example:3128", "has a password"),
            ("http://u:a@b@p.example:3128", "written as %"),
            ("http://u:a/b@p.example:3128", "written as %"),
            ("http://u:a%zz@p.example:3128", "hexadecimal digits"),
            ("http://u:a%4@p.example:3128", "hexadecimal digits"),
            ("http://u:a%0a@p.example:3128", "no control characters"),
            ("http://u%3ax:a@p.example:3128", "no colon"),
            ("http://u%ff:a@p.example:3128", "UTF-8"),
        ] {
            let problem = read(url).map(drop).unwrap_err();
            assert!(problem.contains(what), "{url}: {problem}");
        }
    }
}
