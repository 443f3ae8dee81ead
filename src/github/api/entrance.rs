//! Where calls of GitHub's API come in: at hosts of its own, or below paths of a host that has more than that.

use crate::destination::Name;

/// Which of GitHub's APIs it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Rest,
    /// Files beside a release, by calls of the first.
    Uploads,
    GraphQl,
}

/// A request to an API, of which no more is known than where it came in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entrance {
    /// Whose it is; none for the first GitHub's.
    pub forge: Option<Name>,
    pub service: Service,
    /// What stood before the API's own path: empty, or segments that each begin with a slash.
    pub prefix: &'static str,
    /// The API's own path and the query, as they came: in origin-form.
    pub target: Box<str>,
}

impl Entrance {
    /// Of a request in origin-form to a host that serves this API and nothing else, REST and GraphQL counted as one.
    pub fn at_host(service: Service, target: &str) -> Self {
        let path = target.split('?').next().unwrap_or_default();
        let is_graphql = service == Service::Rest && path.trim_end_matches('/') == "/graphql";
        let service = if is_graphql { Service::GraphQl } else { service };
        Self { forge: None, service, prefix: "", target: target.into() }
    }

    /// Of a request in origin-form to a host where the APIs stand below paths; none where it is for something else there.
    pub fn below(target: &str) -> Option<Self> {
        PREFIXES.iter().find_map(|&(prefix, service)| {
            let own = target.strip_prefix(prefix)?;
            let target = match own.as_bytes().first() {
                None | Some(b'?') => format!("/{own}"),
                Some(b'/') => own.to_owned(),
                Some(_) => return None,
            };
            Some(Self { forge: None, service, prefix, target: target.into() })
        })
    }

    /// The same at this GitHub.
    #[must_use]
    pub fn of(self, forge: Option<Name>) -> Self {
        Self { forge, ..self }
    }
}

/// Where a server of somebody's own has its APIs, and the git door those of the first GitHub.
const PREFIXES: [(&str, Service); 3] = [("/api/v3", Service::Rest), ("/api/uploads", Service::Uploads), ("/api/graphql", Service::GraphQl)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_stands_below_a_path_or_at_a_host() {
        let below = |target: &str| Entrance::below(target).map(|found| (found.service, found.prefix, found.target.into_string()));
        for (target, expected) in [
            ("/api/v3", Some((Service::Rest, "/api/v3", "/"))),
            ("/api/v3/", Some((Service::Rest, "/api/v3", "/"))),
            ("/api/v3?a=b", Some((Service::Rest, "/api/v3", "/?a=b"))),
            ("/api/v3/repos/o/r?a=b", Some((Service::Rest, "/api/v3", "/repos/o/r?a=b"))),
            ("/api/v3//user", Some((Service::Rest, "/api/v3", "//user"))),
            ("/api/uploads/repos/o/r", Some((Service::Uploads, "/api/uploads", "/repos/o/r"))),
            ("/api/graphql", Some((Service::GraphQl, "/api/graphql", "/"))),
            ("/api/v30", None),
            ("/api/v3%2frepos", None),
            ("/api", None),
            ("/API/v3/user", None),
            ("/git/api/v3", None),
            ("*", None),
        ] {
            assert_eq!(below(target), expected.map(|(service, prefix, own)| (service, prefix, own.to_owned())), "{target}");
        }
        for (service, target, expected) in [
            (Service::Rest, "/repos/o/r", Service::Rest),
            (Service::Rest, "/graphql", Service::GraphQl),
            (Service::Rest, "/graphql/?x", Service::GraphQl),
            (Service::Rest, "/graphql/x", Service::Rest),
            (Service::Uploads, "/graphql", Service::Uploads),
        ] {
            assert_eq!(Entrance::at_host(service, target).service, expected, "{target}");
        }
    }
}
