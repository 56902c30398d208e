//! What a server did, as `strace` saw it: opens, writes, syncs and answers, in order.
//!
//! Time is the number of a line of the trace. A call that other threads interrupt has two: nothing that it did is certain
//! before it began, and all of it is after its end.

use std::{collections::HashMap, path::Path};

/// The wrapper for [`super::Server::try_start`]: the server stays the child, and its trace goes to `file`.
pub(crate) fn wrapper(file: &Path) -> Vec<String> {
    let calls = "openat,open,creat,write,pwrite64,pwritev,pwritev2,writev,ftruncate,truncate,fallocate,fsync,fdatasync,\
                 sync_file_range,rename,renameat,renameat2,link,linkat,unlink,unlinkat,close,dup,dup2,dup3,sendto,sendmsg,\
                 mkdir,mkdirat,accept4";
    let words = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-xx", "-s", "1000000", "-e", &format!("trace={calls}")];
    let mut line: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    line.extend(["-o".to_owned(), file.display().to_string()]);
    line
}

/// What a call did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    Open {
        fd: i64,
        path: String,
        creates: bool,
        truncates: bool,
    },
    Accept {
        fd: i64,
    },
    Close {
        fd: i64,
    },
    /// Bytes to a file at an offset, or to whatever stands behind the descriptor.
    Write {
        fd: i64,
        offset: Option<u64>,
        bytes: Vec<u8>,
    },
    /// A new length; with `grows`, only where it is more than the old one.
    Resize {
        fd: i64,
        length: u64,
        grows: bool,
    },
    /// `fsync` or `fdatasync`; nothing else is one.
    Sync {
        fd: i64,
    },
    Remove {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    MakeDir {
        path: String,
    },
}

/// A successful call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) began: usize,
    pub(crate) ended: usize,
    pub(crate) deed: Deed,
}

/// An answer that went to a client.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// When its first byte left.
    pub(crate) began: usize,
    /// When its last byte had left.
    pub(crate) ended: usize,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Reads a trace.
pub(crate) fn parse(trace: &str) -> Vec<Call> {
    let mut unfinished: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for (time, line) in trace.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(head) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(pid, (time, head));
        } else if let Some((_, end)) = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            let Some((began, head)) = unfinished.remove(pid) else { continue };
            calls.extend(call(&format!("{head}{end}")).map(|deed| Call { began, ended: time, deed }));
        } else {
            calls.extend(call(rest).map(|deed| Call { began: time, ended: time, deed }));
        }
    }
    // A number that one thread closes may be given to another whose call began before: it is taken at the end of the call.
    calls.sort_by_key(|call| match call.deed {
        Deed::Open { .. } | Deed::Accept { .. } => call.ended,
        Deed::Close { .. }
        | Deed::Write { .. }
        | Deed::Resize { .. }
        | Deed::Sync { .. }
        | Deed::Remove { .. }
        | Deed::Rename { .. }
        | Deed::MakeDir { .. } => call.began,
    });
    calls
}

/// The deed of one whole call; nothing where it failed or does not matter.
fn call(text: &str) -> Option<Deed> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let result: i64 = result.split_whitespace().next()?.parse().ok().filter(|&result| result >= 0)?;
    let Arguments { strings, plain } = Arguments::of(arguments.trim_end().strip_suffix(')')?);
    let number = |at: usize| plain.get(at).and_then(|word| word.parse::<i64>().ok());
    let length = |at: usize| number(at).and_then(|number| u64::try_from(number).ok());
    let path = |at: usize| strings.get(at).map(|bytes| String::from_utf8(bytes.clone()).unwrap());
    let written = || strings.concat()[..usize::try_from(result).unwrap().min(strings.concat().len())].to_vec();
    Some(match name {
        "open" | "openat" | "creat" => {
            let has = |flag: &str| plain.iter().any(|word| word.contains(flag));
            Deed::Open { fd: result, path: path(0)?, creates: has("O_CREAT"), truncates: has("O_TRUNC") }
        }
        "accept4" => Deed::Accept { fd: result },
        "close" => Deed::Close { fd: number(0)? },
        "write" | "writev" | "sendto" | "sendmsg" => Deed::Write { fd: number(0)?, offset: None, bytes: written() },
        "pwrite64" => Deed::Write { fd: number(0)?, offset: length(plain.len() - 1), bytes: written() },
        "ftruncate" => Deed::Resize { fd: number(0)?, length: length(1)?, grows: false },
        "fallocate" => Deed::Resize { fd: number(0)?, length: length(2)? + length(3)?, grows: true },
        "fsync" | "fdatasync" => Deed::Sync { fd: number(0)? },
        "unlink" | "unlinkat" => Deed::Remove { path: path(0)? },
        "rename" | "renameat" | "renameat2" => Deed::Rename { from: path(0)?, to: path(1)? },
        "mkdir" | "mkdirat" => Deed::MakeDir { path: path(0)? },
        "sync_file_range" => return None,
        other => panic!("the parser does not know {other}"),
    })
}

/// A call's arguments: the texts, and the other words in order.
struct Arguments {
    strings: Vec<Vec<u8>>,
    plain: Vec<String>,
}

impl Arguments {
    fn of(text: &str) -> Self {
        let (mut strings, mut rest) = (Vec::new(), String::new());
        for (index, part) in text.split('"').enumerate() {
            if index % 2 == 0 { rest.push_str(part) } else { strings.push(unhex(part)) }
        }
        Self { strings, plain: rest.split(',').map(|word| word.trim().to_owned()).collect() }
    }
}

/// `\x2f\x74` as bytes.
fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(4)
        .map(|code| u8::from_str_radix(std::str::from_utf8(&code[2..]).unwrap(), 16).unwrap())
        .collect()
}

/// The writes, syncs and new lengths of the files whose path `is_one`.
pub(crate) fn of_files(calls: &[Call], is_one: impl Fn(&str) -> bool) -> Vec<&Call> {
    let mut open = std::collections::HashSet::new();
    let mut found = Vec::new();
    for call in calls {
        match &call.deed {
            Deed::Open { fd, path, .. } if is_one(path) => drop(open.insert(*fd)),
            Deed::Open { fd, .. } | Deed::Accept { fd } | Deed::Close { fd } => drop(open.remove(fd)),
            Deed::Write { fd, .. } | Deed::Resize { fd, .. } | Deed::Sync { fd } if open.contains(fd) => {
                found.push(call);
            }
            Deed::Write { .. }
            | Deed::Resize { .. }
            | Deed::Sync { .. }
            | Deed::Remove { .. }
            | Deed::Rename { .. }
            | Deed::MakeDir { .. } => {}
        }
    }
    found
}

/// Every whole answer that went over a connection, in the order of their first bytes.
pub(crate) fn answers(calls: &[Call]) -> Vec<Answer> {
    let mut sockets: HashMap<i64, Vec<Answer>> = HashMap::new();
    let mut all = Vec::new();
    for Call { began, ended, deed } in calls {
        match deed {
            Deed::Accept { fd } => drop(sockets.insert(*fd, Vec::new())),
            Deed::Close { fd } => all.extend(sockets.remove(fd).unwrap_or_default()),
            Deed::Write { fd, offset: None, bytes } => {
                let Some(of_socket) = sockets.get_mut(fd) else { continue };
                if bytes.starts_with(b"HTTP/1.1 ") {
                    let status = std::str::from_utf8(&bytes[9..12]).unwrap().parse().unwrap();
                    of_socket.push(Answer { began: *began, ended: *ended, status, body: bytes.clone() });
                } else if let Some(answer) = of_socket.last_mut() {
                    answer.ended = *ended;
                    answer.body.extend(bytes);
                }
            }
            Deed::Open { .. }
            | Deed::Write { .. }
            | Deed::Resize { .. }
            | Deed::Sync { .. }
            | Deed::Remove { .. }
            | Deed::Rename { .. }
            | Deed::MakeDir { .. } => {}
        }
    }
    all.extend(sockets.into_values().flatten());
    for answer in &mut all {
        let head = answer.body.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        answer.body.drain(..head + 4);
    }
    all.sort_by_key(|answer| answer.began);
    all
}

#[test]
fn a_descriptor_belongs_to_whoever_got_it_last() {
    let trace = concat!(
        "10 openat(AT_FDCWD, \"\\x2f\\x61\", O_RDWR|O_CLOEXEC <unfinished ...>\n",
        "11 close(7) = 0\n",
        "10 <... openat resumed>) = 7\n",
        "10 fdatasync(7) = 0\n",
    );
    assert_eq!(of_files(&parse(trace), |path| path == "/a").len(), 1);
}

#[test]
fn a_trace_is_read_with_its_interrupted_calls() {
    let trace = concat!(
        "10 openat(AT_FDCWD, \"\\x2f\\x61\", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 7\n",
        "11 accept4(5, {sa_family=AF_INET, sin_port=htons(1)}, [128 => 16], SOCK_CLOEXEC|SOCK_NONBLOCK) = 9\n",
        "10 pwrite64(7, \"\\x61\\x62\", 2, 4096 <unfinished ...>\n",
        "11 fdatasync(8) = -1 EIO (Input/output error)\n",
        "10 <... pwrite64 resumed>) = 2\n",
        "10 fdatasync(7 <unfinished ...>\n",
        "10 <... fdatasync resumed>) = 0\n",
        "11 writev(9, [{iov_base=\"\\x48\\x54\\x54\\x50\\x2f\\x31\\x2e\\x31\\x20\\x32\\x30\\x31\\x0d\\x0a\\x0d\\x0a\", ",
        "iov_len=16}, {iov_base=\"\\x7b\\x7d\", iov_len=2}], 2) = 18\n",
    );
    let calls = parse(trace);
    let deeds: Vec<&Deed> = calls.iter().map(|call| &call.deed).collect();
    assert_eq!(deeds[0], &Deed::Open { fd: 7, path: "/a".to_owned(), creates: true, truncates: false });
    assert_eq!(deeds[2], &Deed::Write { fd: 7, offset: Some(4096), bytes: b"ab".to_vec() });
    assert_eq!((calls[2].began, calls[2].ended), (2, 4));
    assert_eq!(deeds[3], &Deed::Sync { fd: 7 });
    let answers = answers(&calls);
    assert_eq!((answers[0].status, answers[0].body.as_slice(), answers[0].began), (201, &b"{}"[..], 7));
}
