//! `zonule completions`: completion scripts for shells, generated from the same tables as the help.

use std::process::ExitCode;

use zonule::config::{self, Host};

use super::arguments::Parsed;
use super::{COMMANDS, Command, Completed, print};

/// The command that lists revisions for completion.
///
/// Shells expand the completions they offer, and a branch may be called `$(reboot)`: such names are left out.
const REVISIONS: &str = "git for-each-ref --format='%(refname:short)' 2>/dev/null | grep -x '[A-Za-z0-9._/@+-]*'";

pub(super) fn run(parsed: &Parsed) -> Result<ExitCode, String> {
    let script = match parsed.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["bash"] => bash(),
        ["zsh"] => zsh(),
        ["fish"] => fish(),
        _ => return Err("one shell is required: bash, zsh or fish".to_string()),
    };
    print(&script);
    Ok(ExitCode::SUCCESS)
}

/// An option, of the server or of a command: name, value, values to choose from, and help.
type Choice = (&'static str, &'static str, Vec<&'static str>, &'static str);

/// Returns the arguments of the server.
fn server() -> Vec<Choice> {
    // Only two of them are complete sets of values; the others only show parts of the syntax.
    let values = |name: &str, value: &'static str| match name {
        "serial" => value.split('|').collect(),
        _ => Vec::new(),
    };
    let choice = |argument: &config::Argument| {
        (argument.name, argument.value, values(argument.name, argument.value), argument.help)
    };
    config::arguments(Host::Process).map(choice).collect()
}

/// Returns the options of a command.
fn options(command: &Command) -> Vec<Choice> {
    let options = command.options.iter().map(|flag| (flag.name, flag.value, flag.values(), flag.help));
    options.chain([("help", "", Vec::new(), "print help")]).collect()
}

/// Returns the names of the commands, and of `help`.
fn names() -> Vec<&'static str> {
    COMMANDS.iter().map(|command| command.name).chain(["help"]).collect()
}

fn bash() -> String {
    let listed = |options: &[Choice]| {
        let written =
            options.iter().map(|(name, value, ..)| format!("--{name}{}", if value.is_empty() { "" } else { "=" }));
        written.collect::<Vec<_>>().join(" ")
    };
    let mut cases = String::new();
    let mut case = |pattern: String, choices: &str| cases += &format!("        {pattern}) choices=\"{choices}\" ;;\n");
    for command in COMMANDS {
        for (name, _, values, _) in options(command).iter().filter(|(_, _, values, _)| !values.is_empty()) {
            case(format!("\"{} --{name}=\"*", command.name), &values.join(" "));
        }
        // Values without a fixed set are left to the shell.
        case(format!("\"{} --\"*=*", command.name), "");
        case(format!("\"{} -\"*", command.name), &listed(&options(command)));
        match command.completed {
            Completed::Files => case(format!("\"{} \"*", command.name), ""),
            Completed::Revisions => case(format!("\"{} \"*", command.name), &format!("HEAD $({REVISIONS})")),
            Completed::Words(words) => case(format!("\"{} \"*", command.name), &words.join(" ")),
        }
    }
    case("\"help \"*".to_string(), &names().join(" "));
    for (name, _, values, _) in server().iter().filter(|(_, _, values, _)| !values.is_empty()) {
        case(format!("*\" --{name}=\"*"), &values.join(" "));
    }
    case("*\" --\"*=*".to_string(), "");
    case("\" \"[!-]* | \" \"".to_string(), &format!("{} {}", names().join(" "), listed(&server())));
    case("*".to_string(), &listed(&server()));
    format!(
        "# Completions of zonule for bash.
_zonule() {{
    local line=${{COMP_LINE:0:COMP_POINT}} command= choices=
    local word=${{line##*[[:space:]]}}
    # The shell has divided --name=value; of a value only itself is completed.
    local value=${{word#*=}}
    [ \"$COMP_CWORD\" -gt 1 ] && [ \"${{COMP_WORDS[1]}}\" != \"${{word%%=*}}\" ] && command=${{COMP_WORDS[1]}}
    case \"$command $word\" in
{cases}    esac
    COMPREPLY=($(compgen -W \"$choices\" -- \"$value\"))
    [[ ${{COMPREPLY[0]-}} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}}
complete -o default -F _zonule zonule
"
    )
}

fn zsh() -> String {
    let spec = |(name, value, values, help): &Choice| {
        let help = help.replace('[', "(").replace(']', ")");
        match (value.is_empty(), values.as_slice()) {
            (true, _) => zsh_quoted(&format!("--{name}[{help}]")),
            (false, []) => zsh_quoted(&format!("--{name}=[{help}]:{}: ", value.replace(':', "\\:"))),
            (false, values) => zsh_quoted(&format!("--{name}=[{help}]:{name}:({})", values.join(" "))),
        }
    };
    let specs = |options: &[Choice]| {
        options.iter().map(|option| format!(" \\\n                {}", spec(option))).collect::<String>()
    };
    let mut cases = String::new();
    for command in COMMANDS {
        let words = match command.completed {
            Completed::Files => "'*:file:_files'".to_string(),
            Completed::Revisions => format!("'*:revision:(HEAD '\"$({REVISIONS})\"')'"),
            Completed::Words([]) => String::new(),
            Completed::Words(words) => format!("'1:word:({})'", words.join(" ")),
        };
        let words = if words.is_empty() { words } else { format!(" \\\n                {words}") };
        cases += &format!("        {})\n            _arguments{}{words} ;;\n", command.name, specs(&options(command)));
    }
    let commands: String = COMMANDS
        .iter()
        .map(|command| (command.name, command.summary))
        .chain([("help", "print help for a command")])
        .map(|(name, summary)| format!("        {}\n", zsh_quoted(&format!("{name}:{summary}"))))
        .collect();
    format!(
        "#compdef zonule
# Completions of zonule for zsh.
_zonule() {{
    local -a commands=(
{commands}    )
    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
        _describe command commands
        return
    fi
    local command=$words[2]
    if (( $+commands[(r)$command:*] )); then
        shift words
        (( CURRENT-- ))
    fi
    case $command in
{cases}        help)
            (( CURRENT == 2 )) && _describe command commands ;;
        *)
            _arguments{} ;;
    esac
}}
if [[ $funcstack[1] == _zonule ]]; then
    _zonule \"$@\"
else
    compdef _zonule zonule
fi
",
        specs(&server())
    )
}

fn fish() -> String {
    let mut script = String::from("# Completions of zonule for fish.\ncomplete -c zonule -f\n");
    let mut line =
        |condition: &str, rest: String| script += &format!("complete -c zonule -n {} {rest}\n", fish_quoted(condition));
    let option = |(name, value, values, help): &Choice| {
        let mut rest = format!("-l {name}");
        if !value.is_empty() {
            rest += " -r";
        }
        if !values.is_empty() {
            rest += &format!(" -f -a {}", fish_quoted(&values.join(" ")));
        }
        rest + &format!(" -d {}", fish_quoted(help))
    };
    for (name, summary) in
        COMMANDS.iter().map(|command| (command.name, command.summary)).chain([("help", "print help for a command")])
    {
        line("__fish_use_subcommand", format!("-a {name} -d {}", fish_quoted(summary)));
    }
    for command in COMMANDS {
        let condition = format!("__fish_seen_subcommand_from {}", command.name);
        options(command).iter().for_each(|found| line(&condition, option(found)));
        match command.completed {
            Completed::Files => line(&condition, "-F".to_string()),
            Completed::Revisions => line(&condition, format!("-a {}", fish_quoted(&format!("HEAD ({REVISIONS})")))),
            Completed::Words([]) => {}
            Completed::Words(words) => line(&condition, format!("-a {}", fish_quoted(&words.join(" ")))),
        }
    }
    line("__fish_seen_subcommand_from help", format!("-a {}", fish_quoted(&names().join(" "))));
    server().iter().for_each(|found| line("__fish_use_subcommand", option(found)));
    script
}

/// Quotes a word so that zsh reads it as it is.
fn zsh_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Quotes a word so that fish reads it as it is.
fn fish_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\\', "\\\\").replace('\'', "\\'"))
}
