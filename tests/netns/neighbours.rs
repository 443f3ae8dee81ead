//! Two sandboxes on one machine, each with its proxy and its session.

use crate::harness::{Origin, Pod, on_a_machine, shell};

#[test]
fn threat_127_neither_sandbox_sees_or_reaches_the_other() {
    on_a_machine("neighbours::threat_127_neither_sandbox_sees_or_reaches_the_other", || {
        let _origin = Origin::start();
        // The machine leads from one to the other, as a node does between pods.
        shell("for file in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 1 > /proc/sys/net/$file; done");
        let pods = [1, 2].map(Pod::redirected);
        let _gates = pods.each_ref().map(Pod::serve);
        for (number, other) in [(1, 2), (2, 1)] {
            let (pod, beside) = (&pods[number - 1], &pods[other - 1]);
            assert!(pod.curl(&["http://allowed.test/"]).stdout.ends_with("hello"));
            let ran = pod.curl(&[&format!("http://only{number}.test/")]);
            assert!(!ran.success, "{}", ran.said);

            let session = pod.curl(&["http://tidegate.internal/session"]).stdout;
            assert!(session.contains(&format!("\"s{number}\"")) && !session.contains(&format!("\"s{other}\"")), "{session}");
            let refusals = pod.curl(&["http://tidegate.internal/refusals"]).stdout;
            assert!(refusals.contains(&format!("only{number}.test")) && !refusals.contains(&format!("only{other}.test")), "{refusals}");

            for port in [3128, 3129, 3130, 5353, 9464] {
                for host in [format!("10.77.{other}.2"), format!("[fd77:{other}::2]")] {
                    let ran = pod.curl(&[&format!("http://{host}:{port}/session")]);
                    assert!(ran.stdout.contains("x-deny-reason: ip_literal_not_allowed"), "{host}:{port}: {}", ran.said);
                    let through = ["--proxy", "http://127.0.0.1:3128", "--noproxy", "", &format!("http://{host}:{port}/session")];
                    let ran = pod.curl(&through);
                    assert!(ran.stdout.contains("x-deny-reason: ip_literal_not_allowed"), "{host}:{port}: {}", ran.said);
                }
            }
            for gate in [pod, beside] {
                let socket = gate.home().join("admin.sock");
                let ran = pod.curl(&["--unix-socket", socket.to_str().unwrap(), "http://admin/sessions"]);
                assert!(!ran.success && ran.stdout.is_empty(), "{}", ran.said);
            }
            let entered = pod.sandbox(&["nsenter", &format!("--net=/run/netns/pod{other}"), "true"]);
            assert!(!entered.success && entered.said.contains("Operation not permitted"), "{}", entered.said);
        }
        let refused = pods[0].refusals().join("\n");
        assert!(refused.contains("only1.test") && !refused.contains("only2.test"), "{refused}");
    });
}
