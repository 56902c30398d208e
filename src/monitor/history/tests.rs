use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

const TEN: Duration = Duration::from_secs(10);
/// A moment, in whole intervals since 1970.
const START: u64 = 179_545_680;

fn at(number: u64) -> Timestamp {
    Timestamp(i64::try_from(number * 10_000_000 + 5_000_000).unwrap())
}

fn sample(value: f32) -> Values {
    [value; COLUMNS]
}

/// What the first column, a mean, and the fourth, a peak, have.
fn shown(stretch: &Stretch) -> (Vec<Option<f32>>, Vec<Option<f32>>) {
    let known = |column: &Vec<f32>| column.iter().map(|value| Some(*value).filter(|value| !value.is_nan())).collect();
    (known(&stretch.columns[0]), known(&stretch.columns[3]))
}

#[test]
fn what_was_not_sampled_is_a_gap_and_points_are_means_or_peaks() {
    let mut history = History::new(TEN);
    for (n, value) in [(0, 1.0), (1, 3.0), (4, 8.0), (5, f32::NAN)] {
        history.keep(at(START + n), sample(value));
    }
    let ms = |number: u64| number * 10_000;
    let fine = history.stretch(at(START + 5), ms(START), ms(START + 6), 1);
    assert_eq!((fine.start_ms, fine.step_ms), (ms(START), 10_000));
    assert_eq!(shown(&fine).0, [Some(1.0), Some(3.0), None, None, Some(8.0), None]);
    let coarse = history.stretch(at(START + 5), ms(START), ms(START + 6), 20_000);
    assert_eq!(shown(&coarse), (vec![Some(2.0), None, Some(8.0)], vec![Some(3.0), None, Some(8.0)]));
    assert_eq!(history.newest(at(START + 4)).map(|values| values[0]), Some(8.0));
    assert_eq!(history.newest(at(START + 3)).map(|values| values[0]), Some(3.0));
    assert!(history.newest(at(START + 1 + SLOTS + 5)).is_none(), "a day later it is over");
}

#[test]
fn an_answer_is_bounded_whatever_is_asked() {
    let mut history = History::new(TEN);
    for n in 0..SLOTS + 100 {
        history.keep(at(START + n), sample(1.0));
    }
    let now = at(START + SLOTS + 99);
    for (since, until, step) in [(0, u64::MAX, 0), (0, u64::MAX, u64::MAX), (u64::MAX, 0, 1), (u64::MAX, u64::MAX, 1)] {
        let stretch = history.stretch(now, since, until, step);
        let points = stretch.columns[0].len() as u64;
        assert!(points <= POINTS_MAX + 1, "{points} points for {since} to {until} by {step}");
        assert!(stretch.columns[0].iter().all(|value| *value > 0.0), "no gap at the edges");
        assert_eq!(stretch.step_ms % 10_000, 0);
    }
    let all = history.stretch(now, 0, u64::MAX, 0);
    assert!(all.columns[0].len() > 470, "{}", all.columns[0].len());
    let again = history.stretch(at(START + SLOTS + 100), 0, u64::MAX, 0);
    assert_eq!(again.start_ms, all.start_ms, "points stay where they are");
}

#[test]
fn a_file_gives_back_what_was_written_and_damage_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::new(TEN);
    let file = HistoryFile::open(dir.path(), &mut history).unwrap();
    for n in 0..3u8 {
        let values = sample(f32::from(n));
        file.write(history.keep(at(START + u64::from(n)), values), &values).unwrap();
    }
    let path = dir.path().join("monitor/history");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&path).unwrap().len(), file_bytes());
    let read_again = || {
        let mut history = History::new(TEN);
        HistoryFile::open(dir.path(), &mut history).unwrap();
        (0..3).map(|n| history.sample(START + n).map(|values| values[7])).collect::<Vec<_>>()
    };
    assert_eq!(read_again(), [Some(0.0), Some(1.0), Some(2.0)]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(offset(place(START + 1))).unwrap() + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(read_again(), [Some(0.0), None, Some(2.0)]);
    // A slot that stands in another's place.
    let (from, to) = (offset(place(START)), offset(place(START + 1)));
    let (from, to) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
    bytes.copy_within(from..from + SLOT, to);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(read_again(), [Some(0.0), None, Some(2.0)]);
}

#[test]
fn a_file_of_another_version_or_length_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("monitor/history");
    let kept = |interval: Duration| {
        let mut history = History::new(interval);
        let file = HistoryFile::open(dir.path(), &mut history).unwrap();
        let kept = history.slots.iter().flatten().count();
        file.write(history.keep(at(START), sample(1.0)), &sample(1.0)).unwrap();
        kept
    };
    assert_eq!([kept(TEN), kept(TEN)], [0, 1]);
    assert_eq!([kept(TEN * 2), kept(TEN * 2), kept(TEN)], [0, 1, 0], "another interval");
    let whole = fs::read(&path).unwrap();
    for damaged in [b"junk".to_vec(), whole[..whole.len() - 1].to_vec(), [b"B", &whole[1..]].concat(), Vec::new()] {
        fs::write(&path, damaged).unwrap();
        assert_eq!([kept(TEN), kept(TEN)], [0, 1]);
    }
}

#[test]
fn the_header_has_room_for_every_name() {
    let header = header(60_000);
    assert_eq!(header.len(), HEADER);
    assert!(header.ends_with(&[0; 64]), "and some to spare");
}
