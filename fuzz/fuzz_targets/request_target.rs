//! What is read of a request-target, written out plainly, is read the same. The input's first line is the method.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::wire::target::{RequestTarget, parse};

fuzz_target!(|input: &str| {
    let Some((method, target)) = input.split_once('\n') else { return };
    if let Ok(read) = parse(method, target.as_bytes()) {
        let plain = match &read {
            RequestTarget::Authority(destination) => destination.to_string(),
            RequestTarget::Absolute { destination, origin_form } => format!("http://{destination}{origin_form}"),
            RequestTarget::Origin(origin_form) => origin_form.to_string(),
            RequestTarget::Asterisk => "*".to_owned(),
        };
        assert_eq!(parse(method, plain.as_bytes()), Ok(read), "{plain}");
    }
});
