use super::*;

fn noon() -> SystemTime {
    from_seconds(1_795_262_400).unwrap()
}

fn asking(number: usize) -> Asking {
    Asking::parse(format!("{{\"host\": \"h{number}.example\", \"why\": \"reason {number}\"}}").as_bytes()).unwrap()
}

fn verdict(grants: bool) -> Verdict {
    Verdict { grants, word: None }
}

#[test]
fn no_more_wait_than_may() {
    let mut requests = Requests::default();
    for number in 0..MAX_OPEN {
        requests = requests.asking(asking(number), noon()).unwrap();
    }
    assert_eq!((requests.open(), requests.all().len()), (MAX_OPEN, MAX_OPEN));
    assert_eq!(requests.asking(asking(99), noon() + Duration::from_secs(2 * HOUR)), Err(TooMuch::Open));
    let decided = requests.deciding(3, verdict(true), noon());
    assert_eq!(decided.asking(asking(99), noon()).unwrap().all().last().unwrap().number, 21);
}

#[test]
fn no_more_come_within_an_hour_than_may() {
    let mut requests = Requests::default();
    for number in 0..MAX_HOURLY {
        let now = noon() + Duration::from_secs(number as u64);
        requests = requests.asking(asking(number), now).unwrap();
        let last = requests.all().last().unwrap().number;
        requests = requests.deciding(last, verdict(number % 2 == 0), now);
    }
    let late = noon() + Duration::from_secs(HOUR - 10);
    assert_eq!(requests.asking(asking(99), late), Err(TooMuch::Hourly(Duration::from_secs(10))));
    assert!(requests.asking(asking(99), late + Duration::from_secs(10)).is_ok());
    assert!(requests.asking(asking(99), noon() - Duration::from_secs(HOUR)).is_err(), "a clock that was set back frees nothing");
}

#[test]
fn the_oldest_that_were_denied_are_forgotten_and_no_number_comes_again() {
    let mut requests = Requests::default().asking(asking(0), noon()).unwrap().deciding(1, verdict(true), noon());
    for number in 1..=MAX_HOURLY + 5 {
        let now = noon() + Duration::from_secs(number as u64 * HOUR);
        requests = requests.asking(asking(number), now).unwrap();
        let last = requests.all().last().unwrap().number;
        assert_eq!(last as usize, number + 1);
        requests = requests.deciding(last, verdict(false), now);
    }
    assert_eq!((requests.all().len(), requests.count(State::Denied)), (MAX_HOURLY + 1, MAX_HOURLY));
    assert_eq!((requests.all()[0].number, requests.all()[1].number), (1, 7), "what was granted stays");
}

#[test]
fn what_was_asked_before_answers() {
    let wish = asking(1).wish;
    let asked = Requests::default().asking(asking(1), noon()).unwrap();
    let answers =
        |requests: &Requests, later: u64| requests.answering(&wish, noon() + Duration::from_secs(later)).map(|request| request.state);
    assert_eq!(answers(&asked, 9 * HOUR), Some(State::Pending));
    assert_eq!(asked.answering(&asking(2).wish, noon()), None);
    let denied = asked.deciding(1, verdict(false), noon());
    assert_eq!((answers(&denied, HOUR - 1), answers(&denied, HOUR)), (Some(State::Denied), None));
    let granted = asked.deciding(1, verdict(true), noon());
    assert_eq!(answers(&granted, 0), None, "whether it is allowed is asked elsewhere");
    assert_eq!((granted.hosts().count(), denied.hosts().count(), granted.repositories().count()), (1, 0, 0));
}
