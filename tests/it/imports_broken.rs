//! Files that lost a part on their way, or hide one: what is missing is told, and the import is no success.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::{Server, command::Done, server::text};

const HEAD: &str = "id,user_id,session_id,sender_type,message_text,timestamp,mood_detected\n";

fn import(server: &Server, name: &str, text: impl AsRef<[u8]>) -> Done {
    let file = server.dir().path().join(name);
    std::fs::write(&file, text).unwrap();
    server.command(&["import", file.to_str().unwrap(), "--user", "alice"], "")
}

fn server() -> Server {
    let server = Server::start(&[]);
    server.user("alice");
    server
}

/// The old table with so many rows, and another text in one of them.
fn table(rows: u64, other: (u64, &str)) -> String {
    let mut table = HEAD.to_owned();
    for row in 2..rows + 2 {
        let (sender, text) = if row % 2 == 0 { ("user", "question") } else { ("ai", "answer") };
        let text = if row == other.0 { other.1 } else { text };
        writeln!(table, "{row},u,s,{sender},{text},2025-05-01T08:{:02}:{:02}Z,", row / 60 % 60, row % 60).unwrap();
    }
    table
}

#[test]
fn a_quote_that_is_never_closed_is_told_with_what_it_took() {
    let server = server();
    let broken = table(500, (102, "\"he said: unclosed, and so on"));
    for (name, text) in [("open.csv", broken.clone()), ("crlf.csv", broken.replace('\n', "\r\n"))] {
        let said = import(&server, name, text);
        assert_eq!(said.code, 1, "{}{}", said.out, said.err);
        let told = "left out    everything behind a quote that is never closed (1): row 102, which begins in line 102: 400 lines, \
                    to the end of the file\n";
        assert!(said.out.contains("messages    100") || said.out.contains("100 there already"), "{}", said.out);
        assert!(said.out.contains(told) && said.err.contains("broken"), "{}{}", said.out, said.err);
    }
    // In the last column nothing else shows it: the row has as many columns as it should have.
    let last = table(20, (0, "")).replace("Z,\n12,", "Z,\"well\n12,");
    let last = import(&server, "last.csv", last);
    assert!(last.code == 1 && last.out.contains("row 11, which begins in line 11: 11 lines"), "{}", last.out);
    let mended = import(&server, "mended.csv", table(500, (102, "\"he said: closed, and so on\""))).ok();
    assert!(mended.contains("messages    400 added, 100 there already"), "{mended}");
}

#[test]
fn rows_that_a_missing_quote_put_into_a_text_are_told_and_lines_of_a_text_are_not() {
    let server = server();
    let broken = table(40, (12, "\"he said: unclosed"))
        .replace(",question,2025-05-01T08:00:18Z", ",\"well\",2025-05-01T08:00:18Z");
    let said = import(&server, "swallowed.csv", broken);
    assert!(said.code == 1 && said.err.contains("broken"), "{}{}", said.out, said.err);
    assert!(
        said.out.contains("row with other rows in its text, because a quote is missing (1): row 12\n"),
        "{}",
        said.out
    );
    let export = server.command(&["export", "--user", "alice"], "").ok();
    assert!(!export.contains("12,u,s"), "rows of the table are a message's text: {export}");
    // What people write over several lines is theirs, with commas, times and senders in it.
    let lines = "\"a,b,c,user,d,e\nthen: 1,2,3,4,5,6,7\n2025-05-01T08:00:00Z,user,ai\n\nid,u,s,nobody,x,2025-05-01T08:00:00Z,\nend\"";
    let text = table(40, (12, lines)).replace(",u,s,", ",u,other,");
    let said = import(&server, "lines.csv", text).ok();
    assert!(said.contains("messages    40 added") && !said.contains("left out  "), "{said}");
}

#[test]
fn an_export_that_is_cut_is_told_to_be() {
    let server = server();
    let (mut bela, _) = server.user("bela");
    let cleared = bela.session();
    bela.say(&cleared, "cleared");
    bela.delete("/api/v1/chat/history").expect(204);
    bela.say(&cleared, "behind what was cleared");
    let session = bela.session();
    for n in 0..20 {
        bela.say(&session, &format!("number {n}"));
    }
    let whole = server.command(&["export", "--user", "bela"], "").ok();
    let lines: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_session = |line: &Value| line["session_id"] == session.as_str();
    let first = lines.iter().position(of_session).unwrap();
    assert_eq!(lines.iter().filter(|line| of_session(line)).count(), 40);
    let cut = whole.split_inclusive('\n').take(first + 12).collect::<String>();
    let said = import(&server, "cut.jsonl", &cut);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let told = format!("messages that a session had and the file has not (1): session {session}: 28 of 40\n");
    assert!(said.out.contains(&told) && said.err.contains("broken"), "{}{}", said.out, said.err);
    let at = whole.match_indices('\n').nth(first + 12).unwrap().0 - 20;
    let report = server.dir().path().join("report.jsonl");
    let file = server.dir().path().join("within.jsonl");
    std::fs::write(&file, &whole[..at]).unwrap();
    let arguments = ["import", file.to_str().unwrap(), "--user", "alice", "--report", report.to_str().unwrap()];
    let said = server.command(&arguments, "");
    let told = format!("the end of the file, which is cut in the middle (1): line {}\n", first + 13);
    assert!(said.code == 1 && said.out.contains(&told), "{}{}", said.out, said.err);
    let report = std::fs::read_to_string(report).unwrap();
    let whats: Vec<String> = report
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["what"].is_string())
        .map(|line| text(&line["what"]))
        .collect();
    assert!(whats.contains(&"cut-short".to_owned()) && whats.contains(&"incomplete".to_owned()), "{whats:?}");
    let said = import(&server, "whole.jsonl", &whole).ok();
    assert!(!said.contains("the file has not"), "what was cleared is not missing: {said}");
}

#[test]
fn a_table_that_is_cut_or_saved_otherwise_is_told_to_be() {
    let server = server();
    let whole = table(20, (0, ""));
    let said = import(&server, "cut.csv", &whole[..whole.len() - 25]);
    assert!(said.code == 1 && said.out.contains("which is cut in the middle (1): row 21"), "{}", said.out);
    let said = import(&server, "unended.csv", whole.trim_end()).ok();
    assert!(said.contains("messages    1 added, 19 there"), "{said}");
    let wide: Vec<u8> = "\u{FEFF}".encode_utf16().chain(whole.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for (name, text, told) in [
        ("wide.csv", wide, "UTF-16"),
        ("sep.csv", format!("sep=;\n{whole}").into_bytes(), "sep="),
        ("semicolons.csv", whole.replace(',', ";").into_bytes(), "separated by semicolons"),
    ] {
        let said = import(&server, name, text);
        assert!(said.code == 1 && said.err.contains(told), "{name}: {}{}", said.out, said.err);
    }
}

#[test]
fn nothing_is_imported_for_a_name_that_nobody_has_and_no_report_takes_the_place_of_a_file() {
    let server = server();
    let file = server.dir().path().join("all.csv");
    std::fs::write(&file, table(20, (0, ""))).unwrap();
    let file = file.to_str().unwrap();
    let said = server.command(&["import", file, "--user", "alice", "--map", "u-1=alcie"], "");
    assert!(
        said.code == 1 && said.err.contains("no account \"alcie\"") && said.out.is_empty(),
        "{}{}",
        said.out,
        said.err
    );
    let before = std::fs::read(file).unwrap();
    let said = server.command(&["import", file, "--user", "alice", "--report", file], "");
    assert!(said.code == 2 && said.err.contains("is there already"), "{}", said.err);
    assert_eq!(std::fs::read(file).unwrap(), before);
    assert!(server.command(&["import", file, "--user", "alice"], "").ok().contains("messages    20 added"));
}
