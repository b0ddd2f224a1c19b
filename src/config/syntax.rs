//! Faults of YAML in words that help: what the parser says is precise, and seldom what a tired person needs.

use serde_yaml::granit_parser::ErrorKind as Kind;

use super::diagnostic::Problem;
use super::source::Place;

/// The problem for a fault of the parser.
pub(super) fn problem(at: &Place, kind: &Kind) -> Problem {
    let (message, hint) = words(kind);
    Problem::error("HO0103", at, format!("not readable as YAML: {message}")).hint(hint)
}

fn words(kind: &Kind) -> (String, &'static str) {
    let (message, hint) = match kind {
        Kind::TabNotAllowed
        | Kind::TabInBlockIndentation
        | Kind::TabInIndentation
        | Kind::TabAtBlockScalarStart
        | Kind::TabInPlainScalar => ("a tab where only spaces may stand", "replace the tab by spaces"),
        Kind::UnclosedQuotedScalar => ("a quoted text is not closed", "add the closing quote"),
        Kind::InvalidTrailingDoubleQuotedScalar | Kind::InvalidTrailingSingleQuotedScalar => (
            "something stands right after a closing quote",
            "a quote of a line above may not be closed: then all in between is one text",
        ),
        Kind::UnclosedFlowCollection { open: '{' }
        | Kind::UnexpectedEofFlowMapping
        | Kind::UnexpectedEofImplicitFlowMapping => ("a `{` is not closed", "add the closing `}`"),
        Kind::UnclosedFlowCollection { .. } | Kind::UnexpectedEofFlowSequence => {
            ("a `[` is not closed", "add the closing `]`")
        }
        Kind::ExpectedFlowMappingSeparator => {
            ("`,` or `}` is missing", "between `{` and `}`, pairs are parted by `,`; or a `{` of a line above is not closed")
        }
        Kind::ExpectedFlowSequenceSeparator => {
            ("`,` or `]` is missing", "between `[` and `]`, items are parted by `,`; or a `[` of a line above is not closed")
        }
        Kind::MisplacedFlowCollectionEnd | Kind::MismatchedFlowCollectionEnd { .. } => {
            ("a closing bracket that does not fit", "each `{` wants its `}`, each `[` its `]`")
        }
        Kind::ExpectedBlockMappingKey | Kind::InvalidIndentation | Kind::SimpleKeyExpected | Kind::InvalidSimpleKey => (
            "a `key:` was expected here",
            "check the colon and a space after it, and that this line is indented like its siblings",
        ),
        Kind::MappingValueNotAllowed | Kind::InvalidColonPlacement | Kind::MappingKeyNotAllowed => (
            "a `:` where none may stand",
            "put a text that has `: ` in it in quotes, and check the indentation of this line",
        ),
        Kind::ExpectedBlockSequenceEntry | Kind::BlockSequenceEntryNotAllowed | Kind::InvalidBlockEntryWhitespace => {
            ("a list entry was expected, or one stands where none may", "list entries begin with `- `, indented alike")
        }
        Kind::ExpectedNodeContent => {
            ("a value was expected here", "put a text that begins with a special character in quotes")
        }
        Kind::UnexpectedCharacter { character } => {
            let message = format!("the character {character:?} may not begin a value");
            return (message, "put the text in quotes");
        }
        Kind::UnknownQuotedScalarEscape | Kind::InvalidQuotedScalarHexEscape | Kind::InvalidUnicodeEscape => {
            ("an unknown escape after `\\`", "write `\\\\` for a backslash, or use single quotes")
        }
        Kind::MissingAnchorOrAliasName => (
            "a `*` or `&` where none may stand",
            "a text with `*` or `&` at its beginning stands in quotes: `cron: \"*/5 * * * *\"`",
        ),
        Kind::RecursionLimitExceeded => ("nested too deep", "nothing in these files needs more than eight levels"),
        other => return (other.to_string(), "compare this line with inventory/example.yaml"),
    };
    (message.to_owned(), hint)
}
