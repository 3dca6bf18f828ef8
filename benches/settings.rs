//! Command lines of torture programs: `--name value`, in any order.

use std::ffi::OsString;

/// What a program can be told.
pub trait Settings {
    /// The options that are numbers.
    fn numbers(&mut self) -> Vec<(&'static str, &mut u64)>;

    /// The options that are on or off.
    fn switches(&mut self) -> Vec<(&'static str, &mut bool)>;

    /// Those that are neither: `None` if there is none of this name.
    fn other(&mut self, name: &str) -> Option<&mut Vec<String>> {
        let _ = name;
        None
    }

    /// Reads the arguments after the program's name; whether `--help` was among them.
    ///
    /// # Errors
    /// A message for an option that does not exist, lacks its value, or has a wrong one.
    fn read(&mut self, arguments: impl IntoIterator<Item = OsString>) -> Result<bool, String> {
        let (mut arguments, mut help) = (arguments.into_iter(), false);
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.to_str() else {
                return Err(format!("unknown option {}", argument.display()));
            };
            if matches!(name, "--help" | "-h") {
                help = true;
                continue;
            }
            let mut value = || {
                let value = arguments.next().ok_or(format!("{name} wants a value"))?;
                Ok::<_, String>(value.to_string_lossy().into_owned())
            };
            if let Some((_, switch)) = self.switches().into_iter().find(|(n, _)| *n == name) {
                *switch = match &*value()? {
                    "on" => true,
                    "off" => false,
                    other => return Err(format!("{name} wants on or off, not {other}")),
                };
            } else if let Some((_, number)) = self.numbers().into_iter().find(|(n, _)| *n == name) {
                let value = value()?;
                let parsed = value.parse();
                *number = parsed.map_err(|_| format!("{name} wants a number, not {value}"))?;
            } else if let Some(list) = self.other(name) {
                *list = value()?.split(',').map(str::to_owned).collect();
            } else {
                return Err(format!("unknown option {name}"));
            }
        }
        Ok(help)
    }
}
