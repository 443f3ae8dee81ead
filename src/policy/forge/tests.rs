use super::*;
use crate::policy::Access;

fn hosts() -> ForgeHosts {
    ForgeHosts::new(["github.test", "code.localhost"].map(|host| match Host::parse(host.as_bytes()) {
        Ok(Host::Name(name)) => name,
        other => panic!("{other:?}"),
    }))
}

fn permit(authority: &str) -> ForgePermit {
    let destination = Destination::parse(authority.as_bytes(), Some(443)).unwrap();
    hosts().decide(&destination, Way::Connect).unwrap().unwrap()
}

fn facts<'a>(method: &'a str, origin_form: &'a str) -> RequestFacts<'a> {
    RequestFacts { method, host: None, target: None, origin_form, body_length: None }
}

#[test]
fn the_hosts_are_those_of_each_github_and_no_others() {
    for authority in ["github.test:443", "GitHub.Test.:443", "api.github.test:443", "uploads.github.test:443", "gist.github.test:443"] {
        assert_eq!(permit(authority).is_api(), authority.starts_with("api.") || authority.starts_with("uploads."), "{authority}");
    }
    // Names of this machine are for nobody else.
    assert_eq!(permit("code.localhost:443").interception().destination().to_string(), "code.localhost:443");
    // Threat 94: what only looks like it.
    let others =
        ["github.test.evil", "evilgithub.test", "api.github.test.evil", "x.api.github.test", "www.github.test", "test", "localhost"];
    for other in others.into_iter().chain(["127.0.0.1", "[::1]"]) {
        let destination = Destination::parse(other.as_bytes(), Some(443)).unwrap();
        assert!(hosts().decide(&destination, Way::Connect).is_none(), "{other}");
    }
}

#[test]
fn no_other_port_and_nothing_plain() {
    for (authority, way) in [
        ("github.test:22", Way::Connect),
        ("github.test:80", Way::Connect),
        ("github.test:80", Way::Http),
        ("api.github.test:443", Way::Http),
    ] {
        let destination = Destination::parse(authority.as_bytes(), None).unwrap();
        let denial = hosts().decide(&destination, way).unwrap().unwrap_err();
        assert_eq!((denial.reason, denial.port), (Reason::PortNotAllowed, Some(destination.port)), "{authority}");
        assert!(denial.detail.contains("https://github.test/OWNER/NAME.git"), "{}", denial.detail);
    }
    // gh asks for names of this machine in plain HTTP.
    for (authority, way, served) in [
        ("api.code.localhost:80", Way::Http, true),
        ("code.localhost:80", Way::Http, true),
        ("code.localhost:8080", Way::Http, false),
        ("code.localhost:443", Way::Http, false),
        ("api.code.localhost:80", Way::Connect, true),
        ("code.localhost:80", Way::Connect, true),
        ("code.localhost:8080", Way::Connect, false),
    ] {
        let destination = Destination::parse(authority.as_bytes(), None).unwrap();
        assert_eq!(hosts().decide(&destination, way).unwrap().is_ok(), served, "{authority} {way:?}");
    }
}

#[test]
fn git_s_requests_and_calls_of_the_api_and_nothing_else() {
    let git = permit("github.test:443");
    let route = git.decide_request(&facts("GET", "/octo/spoon.git/info/refs?service=git-upload-pack")).unwrap();
    assert_eq!(route.repository().unwrap().as_str(), "octo/spoon");
    for (method, path, reason) in [
        ("GET", "/", Reason::ApiNotAllowed),
        ("GET", "/octo/spoon", Reason::ApiNotAllowed),
        ("POST", "/api/graphql", Reason::ApiNotAllowed),
        ("OPTIONS", "*", Reason::ApiNotAllowed),
        ("POST", "/octo/spoon.git/info/lfs/objects", Reason::PathNotAllowed),
        ("GET", "/octo/spoon/objects/info/packs", Reason::ApiNotAllowed),
        ("TRACE", "/octo/spoon", Reason::MethodRefused),
        ("PUT", "/octo/spoon/git-receive-pack", Reason::MethodNotAllowed),
        ("GET", "/octo/../spoon/info/refs?service=git-upload-pack", Reason::BadRequest),
        ("GET", "/octo/spoon.git.git/info/refs?service=git-upload-pack", Reason::RepositoryNotGranted),
        ("GET", "/git/octo/spoon/info/refs?service=git-upload-pack", Reason::PathNotAllowed),
    ] {
        assert_eq!(git.decide_request(&facts(method, path)).unwrap_err().reason, reason, "{method} {path}");
    }
    let named = RequestFacts { host: Some(b"api.github.test"), ..facts("GET", "/octo/spoon/info/refs?service=git-upload-pack") };
    assert_eq!(git.decide_request(&named).unwrap_err().reason, Reason::Misdirected);
}

#[test]
fn the_host_of_a_request_is_its_repository_s() {
    let discovery = "/octo/spoon/info/refs?service=git-upload-pack";
    for (host, expected) in [
        ("github.test", Ok("octo/spoon")),
        ("code.localhost", Ok("code.localhost/octo/spoon")),
        ("gist.github.test", Err(Reason::ApiNotAllowed)),
    ] {
        let route = permit(host).decide_request(&facts("GET", discovery));
        let found = route.as_ref().map(|route| route.repository().unwrap().as_str()).map_err(|denial| denial.reason);
        assert_eq!(found, expected, "{host}");
    }
}

#[test]
fn the_api_s_hosts_and_paths() {
    let wanted = |host: &str, target: &str| permit(host).decide_request(&facts("GET", target)).map_err(|denial| denial.reason);
    for (host, target, expected) in [
        ("api.github.test", "/repos/o/r?a=b", Some((None, Service::Rest, ""))),
        ("uploads.code.localhost", "/repos/o/r?a=b", Some((Some("code.localhost"), Service::Uploads, ""))),
        ("github.test", "/api/v3/repos/o/r?a=b", Some((None, Service::Rest, "/api/v3"))),
        ("code.localhost", "/api/uploads/repos/o/r?a=b", Some((Some("code.localhost"), Service::Uploads, "/api/uploads"))),
        ("api.github.test", "/graphql", None),
        ("github.test", "/api/graphql", None),
        ("gist.github.test", "/repos/o/r", None),
    ] {
        let found = match wanted(host, target) {
            Ok(Wanted::Api(Entrance { forge, service, prefix, target })) => {
                assert_eq!(&*target, "/repos/o/r?a=b");
                Some((forge, service, prefix))
            }
            other => {
                assert_eq!(other, Err(Reason::ApiNotAllowed), "{host} {target}");
                None
            }
        };
        let found = found.as_ref().map(|(forge, service, prefix)| (forge.as_ref().map(Name::as_str), *service, *prefix));
        assert_eq!(found, expected, "{host} {target}");
    }
    let below = |target: &str| hosts().read_route("GET", target).map_err(|denial| denial.reason);
    assert!(matches!(below("/api/v3/user"), Ok(Wanted::Api(Entrance { forge: None, prefix: "/api/v3", .. }))));
    assert_eq!((below("/api/graphql"), below("/api/v4")), (Err(Reason::ApiNotAllowed), Err(Reason::PathNotAllowed)));
}

#[test]
fn the_git_door_s_paths_name_a_host_that_is_not_the_first() {
    let read = |path: &str| {
        let route = hosts().read_route("GET", &format!("/git/{path}/info/refs?service=git-upload-pack"));
        route.map(|route| route.repository().unwrap().to_string()).map_err(|denial| denial.reason)
    };
    for path in ["octo/spoon", "github.test/octo/spoon", "GitHub.Test/Octo/Spoon.git"] {
        assert_eq!(read(path).as_deref(), Ok("octo/spoon"), "{path}");
    }
    assert_eq!(read("code.localhost/octo/spoon").as_deref(), Ok("code.localhost/octo/spoon"));
    for path in ["other.test/octo/spoon", "api.github.test/octo/spoon", "127.0.0.1/octo/spoon", ".x/octo/spoon"] {
        assert_eq!(read(path), Err(Reason::RepositoryNotGranted), "{path}");
    }
    for path in ["github.test//octo/spoon", "github.test:443/octo/spoon", "github.test/../octo/spoon"] {
        assert_eq!(read(path), Err(Reason::BadRequest), "{path}");
    }
}

#[test]
fn a_repository_has_one_name_and_a_host_that_is_known() {
    let locate = |text: &str| hosts().locate(RepositoryName::parse(text).unwrap()).map(|name| name.to_string());
    assert_eq!(locate("github.test/octo/spoon").as_deref(), Ok("octo/spoon"));
    assert_eq!(locate("code.localhost/octo/spoon").as_deref(), Ok("code.localhost/octo/spoon"));
    let error = locate("other.test/octo/spoon").unwrap_err().to_string();
    assert_eq!(error, "other.test/octo/spoon is at no [[github]]: none has the host other.test, there is github.test, code.localhost");
    let second = || hosts().names().iter().skip(1).cloned().collect::<Vec<_>>();
    let names = ["octo/spoon", "code.localhost/octo/spoon"].map(|text| RepositoryName::parse(text).unwrap());
    let public = hosts().public_at(second());
    assert_eq!(names.each_ref().map(|name| (public.public_read(name), public.takes_token(name))), [(false, false), (true, false)]);
    let taking = hosts().taking_tokens_at(second());
    assert_eq!(names.each_ref().map(|name| (taking.public_read(name), taking.takes_token(name))), [(false, false), (false, true)]);
}

#[test]
fn what_a_policy_says_against_such_a_host_is_found() {
    let text = "access = \"full\"\ndeny = [\"**.github.test\"]\n[tls]\nskip = [\"github.test\"]\n\
                [[rule]]\nname = \"reading\"\nhosts = [\"gist.github.test\"]\nmethods = [\"GET\"]\n";
    let (policy, _) = Policy::parse("policy.toml", text).unwrap();
    let against = |host: &str| {
        let destination = Destination::parse(host.as_bytes(), Some(443)).unwrap();
        policy.entries_against(&destination, SystemTime::UNIX_EPOCH).iter().map(|rule| rule.line).collect::<Vec<_>>()
    };
    assert_eq!(against("github.test"), [2, 4]);
    assert_eq!(against("gist.github.test").len(), 2);
    assert_eq!(against("other.test"), Vec::<u32>::new());
    let destination = Destination::parse(b"github.test", Some(443)).unwrap();
    assert_eq!(Policy::level(Access::None).entries_against(&destination, SystemTime::UNIX_EPOCH), []);
}
