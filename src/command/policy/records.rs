//! An audit file, read line by line.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use super::super::Console;
use crate::recorded::{MAX_LINE, Recorded, RecordedError};

/// Hands on every record of an audit file in turn, and says which lines are none. Whether all of them were read. A last line without an
/// end may still be written: it is no fault where it is no record.
pub(super) fn for_each(path: &Path, console: &mut Console<'_>, take: impl FnMut(&Recorded)) -> bool {
    let shown = path.display();
    let mut faults = 0;
    let read = console.environment.open(path).and_then(|file| {
        read(BufReader::new(file), take, |number, fault| {
            faults += 1;
            if faults <= MAX_FAULTS {
                console.say(format_args!("tidegate: {shown}:{number}: {fault}"));
            }
        })
    });
    if faults > MAX_FAULTS {
        console.say(format_args!("tidegate: {shown}: {} more lines could not be read", faults - MAX_FAULTS));
    }
    if let Err(error) = &read {
        console.say(format_args!("tidegate: cannot read {shown}: {error}"));
    }
    read.is_ok() && faults == 0
}

fn read(mut file: impl BufRead, mut take: impl FnMut(&Recorded), mut fault: impl FnMut(u64, RecordedError)) -> io::Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        file.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)?;
        let whole = line.strip_suffix(b"\n");
        match Recorded::read(whole.unwrap_or(&line)) {
            Ok(recorded) => take(&recorded),
            Err(problem) if whole.is_some() || line.len() > MAX_LINE => fault(number, problem),
            Err(_) => return Ok(()),
        }
        if whole.is_none() {
            file.skip_until(b'\n')?;
        }
    }
    Ok(())
}

/// Most lines that are named one by one.
const MAX_FAULTS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"schema":1,"time":"2026-11-21T12:00:00Z","kind":"connect","host":"a.test","port":443}"#;

    fn read_all(text: &[u8]) -> (usize, Vec<(u64, RecordedError)>) {
        let (mut count, mut faults) = (0, Vec::new());
        read(BufReader::with_capacity(7, text), |_| count += 1, |number, fault| faults.push((number, fault))).unwrap();
        (count, faults)
    }

    #[test]
    fn each_line_is_read_and_each_fault_named() {
        let long = "x".repeat(MAX_LINE + 1);
        let longest = format!("{RECORD}{}", " ".repeat(MAX_LINE - RECORD.len()));
        let text = format!("{RECORD}\n{{\n{long}\n{longest}\n\n{RECORD}\n");
        let faults = vec![(2, RecordedError::Form), (3, RecordedError::TooLong), (5, RecordedError::Form)];
        assert_eq!(read_all(text.as_bytes()), (3, faults));
    }

    #[test]
    fn a_line_that_is_still_written_is_no_fault() {
        assert_eq!(read_all(format!("{RECORD}\n{{\"schema\":1,").as_bytes()), (1, Vec::new()));
        assert_eq!(read_all(RECORD.as_bytes()), (1, Vec::new()));
        assert_eq!(read_all(b""), (0, Vec::new()));
        assert_eq!(read_all(&vec![b'x'; MAX_LINE + 1]), (0, vec![(1, RecordedError::TooLong)]));
    }
}
