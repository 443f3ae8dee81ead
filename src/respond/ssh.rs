//! A refusal in the protocol of SSH (RFC 4253), as it can be said before keys are exchanged.

/// Our identification string (section 4.2), then one unencrypted packet (section 6) with a disconnect message (section 11.1),
/// whose description a client prints: `text`, at most [`MAX_DESCRIPTION`] characters of it.
pub(super) fn disconnect(text: &str) -> Vec<u8> {
    let description: String = text.chars().take(MAX_DESCRIPTION).collect();
    let payload = [&[DISCONNECT][..], &HOST_NOT_ALLOWED_TO_CONNECT.to_be_bytes(), &string(&description), &string("")].concat();
    let missing = BLOCK - (LENGTHS + payload.len()) % BLOCK;
    let padding = if missing < MIN_PADDING { missing + BLOCK } else { missing };
    [IDENTIFICATION, &length(1 + payload.len() + padding), &length(padding)[3..], &payload, &[0; BLOCK + MIN_PADDING][..padding]].concat()
}

/// As section 5 of RFC 4251 writes it.
fn string(text: &str) -> Vec<u8> {
    [&length(text.len()), text.as_bytes()].concat()
}

fn length(octets: usize) -> [u8; 4] {
    u32::try_from(octets).unwrap_or_default().to_be_bytes()
}

const IDENTIFICATION: &[u8] = b"SSH-2.0-Tidegate\r\n";
/// `SSH_MSG_DISCONNECT`
const DISCONNECT: u8 = 1;
/// `SSH_DISCONNECT_HOST_NOT_ALLOWED_TO_CONNECT`
const HOST_NOT_ALLOWED_TO_CONNECT: u32 = 1;
/// OpenSSH prints as many.
const MAX_DESCRIPTION: usize = 400;
/// A packet is a multiple of it, before there is a cipher.
const BLOCK: usize = 8;
const MIN_PADDING: usize = 4;
/// Of the packet and of its padding.
const LENGTHS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client reads in the packet.
    fn described(answer: &[u8]) -> String {
        let packet = answer.strip_prefix(IDENTIFICATION).unwrap();
        let number = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
        assert_eq!(usize::try_from(number(0)).unwrap(), packet.len() - 4);
        assert_eq!(packet.len() % BLOCK, 0);
        let padding = usize::from(packet[4]);
        assert!(padding >= MIN_PADDING, "{padding}");
        assert_eq!((packet[5], number(6)), (1, 1));
        let end = 14 + usize::try_from(number(10)).unwrap();
        assert_eq!(number(end), 0, "no language");
        assert_eq!(packet.len() - padding, end + 4);
        String::from_utf8(packet[14..end].to_vec()).unwrap()
    }

    #[test]
    fn packets_add_up_whatever_is_said() {
        for text in (0..40).map(|length| "x".repeat(length)) {
            assert_eq!(described(&disconnect(&text)), text);
        }
        assert_eq!(described(&disconnect(&"ä".repeat(500))), "ä".repeat(400));
    }
}
