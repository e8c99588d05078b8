//! Reads an environment file (`stream.env`) as Docker and Compose do.
//!
//! One `KEY=VALUE` a line. Blank lines and lines that begin with `#` are skipped, a leading `export ` is
//! allowed, a key without `=` says nothing. An unquoted value ends at ` #`; `'…'` is taken as it stands;
//! in `"…"` the escapes `\\`, `\"`, `\$`, `\n`, `\r` and `\t` are undone. Nothing is substituted: a `$` is a `$`.

/// Reads the variables of an environment file; later lines win.
///
/// # Errors
/// Gives the number of the first line that is no assignment, and why. The line itself may hold a secret
/// and is not repeated.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, &'static str)> {
    let mut variables = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key.trim_end(), Some(value)),
            None => (line, None),
        };
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err((i + 1, "is not KEY=VALUE; begin a remark with #"));
        }
        if let Some(value) = value {
            variables.push((key.to_owned(), unquote(value).map_err(|reason| (i + 1, reason))?));
        }
    }
    Ok(variables)
}

fn unquote(written: &str) -> Result<String, &'static str> {
    let value = written.trim_start();
    if let Some(rest) = value.strip_prefix('\'') {
        let (inner, after) = rest.split_once('\'').ok_or("has no closing '")?;
        return after_quotes(after).map(|()| inner.to_owned());
    }
    if let Some(rest) = value.strip_prefix('"') {
        return unescape(rest);
    }
    let end = written.find(" #").unwrap_or(written.len());
    Ok(written.get(..end).unwrap_or(written).trim().to_owned())
}

fn unescape(rest: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return after_quotes(chars.as_str()).map(|()| out),
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some(c @ ('\\' | '"' | '$')) => out.push(c),
                Some(c) => out.extend(['\\', c]),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err("has no closing \"")
}

fn after_quotes(rest: &str) -> Result<(), &'static str> {
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(())
    } else {
        Err("goes on after its closing quote")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &str) -> String {
        parse(line).unwrap().pop().unwrap().1
    }

    #[test]
    fn values_are_read_as_docker_reads_them() {
        assert_eq!(value("A=b"), "b");
        assert_eq!(value("export A = b \r"), "b");
        assert_eq!(value("A=a=b"), "a=b");
        assert_eq!(value("A=p#ss$word # note"), "p#ss$word");
        assert_eq!(value("A='p # \"x\" \\n' # note"), "p # \"x\" \\n");
        assert_eq!(value(r#"A="p # 'x' \"\\\n\$\d""#), "p # 'x' \"\\\n$\\d");
        assert_eq!(value("A="), "");
        assert_eq!(value("A= # nothing"), "");
        assert_eq!(value("A=#1"), "#1");
    }

    #[test]
    fn what_says_nothing_is_skipped() {
        assert_eq!(parse("\u{feff}# c\n\nFROM_OUTSIDE\n  \n").unwrap(), []);
    }

    #[test]
    fn broken_line_is_named_by_number() {
        assert_eq!(
            parse("A=1\nnot an assignment\n"),
            Err((2, "is not KEY=VALUE; begin a remark with #"))
        );
        assert_eq!(parse("A=\"open"), Err((1, "has no closing \"")));
        assert_eq!(parse("A='b' c"), Err((1, "goes on after its closing quote")));
    }
}
