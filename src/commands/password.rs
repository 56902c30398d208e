//! Where a command gets a password: a person at a terminal, or a file. Never an argument.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal},
    path::Path,
};

use super::Failure;
use crate::{cli::PasswordSource, control::Secret};

/// More than any password; the server says what it accepts.
const LINE_MAX: u64 = 4096;

/// Reads the password.
pub(super) fn read(source: &PasswordSource) -> Result<Secret, Failure> {
    match &source.password_file {
        None => ask(),
        Some(path) if path == Path::new("-") => of_reader(io::stdin().lock(), "the standard input"),
        Some(path) => {
            let shown = path.display().to_string();
            let file = File::open(path).map_err(|error| Failure::Failed(format!("{shown}: {error}")))?;
            of_reader(BufReader::new(file), &shown)
        }
    }
}

fn ask() -> Result<Secret, Failure> {
    if !io::stdin().is_terminal() {
        let hint = "there is no terminal to ask for the password: use --password-file FILE (- is the standard input)";
        return Err(Failure::Misused(hint.to_owned()));
    }
    let prompt = |text| {
        rpassword::prompt_password(text).map_err(|error| Failure::Failed(format!("no password was read: {error}")))
    };
    let password = prompt("Password: ")?;
    if password == prompt("The same password again: ")? {
        Ok(Secret(password))
    } else {
        Err(Failure::Failed("the two passwords differ".to_owned()))
    }
}

/// The first line, without its end.
fn of_reader(reader: impl BufRead, shown: &str) -> Result<Secret, Failure> {
    let failed = |why: &str| Failure::Failed(format!("{shown}: {why}"));
    let mut line = String::new();
    reader.take(LINE_MAX).read_line(&mut line).map_err(|error| failed(&error.to_string()))?;
    if line.len() as u64 == LINE_MAX {
        return Err(failed("the first line is far too long for a password"));
    }
    let password = line.strip_suffix('\n').unwrap_or(&line);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(failed("the first line is empty"));
    }
    Ok(Secret(password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_first_line_and_nothing_else_is_cut_off() {
        let read = |bytes: &[u8]| of_reader(bytes, "x").map(|secret| secret.0);
        assert_eq!(read(b" a b \nsecond\n").unwrap(), " a b ");
        assert_eq!(read(b"no line end").unwrap(), "no line end");
        assert_eq!(read(b"windows\r\n").unwrap(), "windows");
        for bad in [&b""[..], b"\n", b"\r\n", b"\xff\n", &[b'x'; 5000]] {
            assert!(matches!(read(bad), Err(Failure::Failed(_))));
        }
    }
}
