//! Variables as shells and tools read them, each value exactly as it is or not at all.

use std::{
    ffi::{OsStr, OsString},
    fmt,
};

use clap::ValueEnum;
use serde_json::{Map, Value};

/// Who reads what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// `eval "$(…)"` in any POSIX shell.
    Sh,
    /// `… | source` in fish.
    Fish,
    Json,
    /// What `docker run --env-file` reads: a line is a variable, and nothing is quoted.
    Docker,
    /// What a step of GitHub Actions appends to the file that `$GITHUB_ENV` names.
    Github,
}

/// A variable whose value a format cannot say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsayable {
    name: String,
    format: Format,
    why: &'static str,
}

impl fmt::Display for Unsayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = self.format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        write!(f, "the format {format} has no way to write the value of {}: {}; move what it names", self.name, self.why)
    }
}

impl std::error::Error for Unsayable {}

impl Format {
    /// Every variable, in this order. Names are of letters, digits and `_`.
    pub(crate) fn write(self, variables: &[(String, OsString)]) -> Result<Vec<u8>, Unsayable> {
        if self == Self::Json {
            let pairs = variables.iter().map(|(name, value)| Ok((name.clone(), Value::from(self.text(name, value)?))));
            return Ok(format!("{:#}\n", Value::Object(pairs.collect::<Result<Map<_, _>, _>>()?)).into_bytes());
        }
        let mut written = Vec::new();
        for (name, value) in variables {
            written.append(&mut self.line(name, value)?);
            written.push(b'\n');
        }
        Ok(written)
    }

    fn line(self, name: &str, value: &OsStr) -> Result<Vec<u8>, Unsayable> {
        let octets = value.as_encoded_bytes();
        match self {
            // Between these quotes nothing but the quote means anything (POSIX, Shell Command Language, 2.2.2).
            Self::Sh => Ok([b"export ", name.as_bytes(), b"='", &replaced(octets, &[(b'\'', b"'\\''")]), b"'"].concat()),
            Self::Fish => {
                let value = replaced(octets, &[(b'\\', b"\\\\"), (b'\'', b"\\'")]);
                Ok([b"set -gx ", name.as_bytes(), b" '", &value, b"'"].concat())
            }
            Self::Docker | Self::Github if octets.contains(&b'\r') => Err(self.unsayable(name, "a carriage return stands in it")),
            Self::Docker if octets.contains(&b'\n') => Err(self.unsayable(name, "it has more than one line")),
            Self::Github if octets.contains(&b'\n') => {
                let (value, mut end) = (self.text(name, value)?, "END_OF_VALUE".to_owned());
                while value.contains(&end) {
                    end.push('_');
                }
                Ok(format!("{name}<<{end}\n{value}\n{end}").into_bytes())
            }
            Self::Json | Self::Docker | Self::Github => Ok(format!("{name}={}", self.text(name, value)?).into_bytes()),
        }
    }

    fn text<'v>(self, name: &str, value: &'v OsStr) -> Result<&'v str, Unsayable> {
        value.to_str().ok_or_else(|| self.unsayable(name, "it is no UTF-8"))
    }

    fn unsayable(self, name: &str, why: &'static str) -> Unsayable {
        Unsayable { name: name.to_owned(), format: self, why }
    }
}

/// Octets, some of which are written otherwise.
fn replaced(octets: &[u8], others: &[(u8, &[u8])]) -> Vec<u8> {
    let written = |octet: &u8| others.iter().find(|(known, _)| known == octet).map_or_else(|| vec![*octet], |(_, other)| other.to_vec());
    octets.iter().flat_map(written).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        io::Write,
        os::unix::ffi::OsStringExt,
        process::{Command, Stdio},
    };

    use proptest::prelude::*;

    use super::*;

    fn named(values: &[Vec<u8>]) -> Vec<(String, OsString)> {
        values.iter().enumerate().map(|(number, value)| (format!("VALUE_{number}"), OsString::from_vec(value.clone()))).collect()
    }

    fn values() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let text = "[-\\\\'\"$`!#*?~{}()<>|&;=%@ \t\n\ra-zé😀]{0,12}".prop_map(String::into_bytes);
        let octets = proptest::collection::vec(1..=255_u8, 0..12);
        proptest::collection::vec(prop_oneof![text, octets], 1..24)
    }

    /// What a shell passes on to a program after it read this.
    fn passed_on(shell: &str, package: &str, script: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut command = Command::new(shell);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{shell} is needed ({error}): apt-get install {package}"));
        child.stdin.take().unwrap().write_all(&[script, b"env -0\n"].concat()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        let pairs = output.stdout.split(|octet| *octet == 0).filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| pair.split_at(pair.iter().position(|octet| *octet == b'=').unwrap()))
            .map(|(name, value)| (name.to_vec(), value[1..].to_vec()))
            .collect()
    }

    /// Lines as `docker run --env-file` reads them.
    fn docker(text: &str) -> Vec<(String, OsString)> {
        let pairs = text.lines().map(|line| line.trim_start().split_once('=').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), value.into())).collect()
    }

    /// What the runner of GitHub Actions reads in an environment file: `NAME=VALUE`, or `NAME<<END`, the value and `END`, each on lines of
    /// its own.
    fn github(text: &str) -> Vec<(String, OsString)> {
        let (mut read, mut lines) = (Vec::new(), text.split('\n'));
        while let Some(line) = lines.next() {
            match (line.find('='), line.find("<<")) {
                (Some(equals), heredoc) if heredoc.is_none_or(|heredoc| equals < heredoc) => {
                    read.push((line[..equals].to_owned(), line[equals + 1..].into()));
                }
                (_, Some(heredoc)) => {
                    let value: Vec<_> = lines.by_ref().take_while(|next| *next != &line[heredoc + 2..]).collect();
                    read.push((line[..heredoc].to_owned(), value.join("\n").into()));
                }
                (_, None) => assert_eq!(line, ""),
            }
        }
        read
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn every_value_comes_through_a_shell_as_it_is(values in values()) {
            for (shell, package, format) in [("sh", "dash", Format::Sh), ("bash", "bash", Format::Sh), ("fish", "fish", Format::Fish)] {
                let variables = named(&values);
                let read = passed_on(shell, package, &format.write(&variables).unwrap());
                for (name, value) in variables {
                    prop_assert_eq!(read.get(name.as_bytes()).map(Vec::as_slice), Some(value.as_encoded_bytes()), "{}: {}", shell, name);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_a_format_cannot_say_it_does_not_say(values in values()) {
            for value in values {
                let text = str::from_utf8(&value).ok();
                let variables = named(&[value.clone(), b"next".to_vec()]);
                let written = |format: Format| format.write(&variables).map(|written| String::from_utf8(written).unwrap());
                let json = written(Format::Json).map(|json| serde_json::from_str::<BTreeMap<String, String>>(&json).unwrap());
                prop_assert_eq!(json.ok().map(|json| json["VALUE_0"].clone().into_bytes()), text.map(|text| text.as_bytes().to_vec()));
                let one_line = text.is_some_and(|text| !text.contains(['\n', '\r']));
                prop_assert_eq!(written(Format::Docker).ok().map(|text| docker(&text)), one_line.then(|| variables.clone()));
                let lines = text.is_some_and(|text| !text.contains('\r'));
                prop_assert_eq!(written(Format::Github).ok().map(|text| github(&text)), lines.then(|| variables.clone()));
            }
        }
    }

    #[test]
    fn each_format_as_it_stands_there() {
        let variables = named(&[b"plain".to_vec(), b"it's \\".to_vec()]);
        for (format, expected) in [
            (Format::Sh, "export VALUE_0='plain'\nexport VALUE_1='it'\\''s \\'\n"),
            (Format::Fish, "set -gx VALUE_0 'plain'\nset -gx VALUE_1 'it\\'s \\\\'\n"),
            (Format::Json, "{\n  \"VALUE_0\": \"plain\",\n  \"VALUE_1\": \"it's \\\\\"\n}\n"),
            (Format::Docker, "VALUE_0=plain\nVALUE_1=it's \\\n"),
            (Format::Github, "VALUE_0=plain\nVALUE_1=it's \\\n"),
        ] {
            assert_eq!(String::from_utf8(format.write(&variables).unwrap()).unwrap(), expected);
        }
        let lines = named(&[b"END_OF_VALUE\n".to_vec()]);
        let written = Format::Github.write(&lines).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "VALUE_0<<END_OF_VALUE_\nEND_OF_VALUE\n\nEND_OF_VALUE_\n");
        let said = Format::Docker.write(&lines).unwrap_err().to_string();
        assert_eq!(said, "the format docker has no way to write the value of VALUE_0: it has more than one line; move what it names");
    }
}
