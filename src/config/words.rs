//! What serde-saphyr finds wrong, in the words of somebody who writes a configuration: what it says itself is for those who
//! write a program with it.

use serde_yaml::{Error, MessageFormatter};
use std::borrow::Cow;

/// See [`MessageFormatter`].
pub(super) struct Words;

impl MessageFormatter for Words {
    fn format_message<'a>(&self, error: &'a Error) -> Cow<'a, str> {
        match error {
            Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => self.format_message(error),
            Error::Message { msg, .. } | Error::ExternalMessage { msg, .. } => msg.as_str().into(),
            Error::Eof { .. } => "the text ends where more is expected".into(),
            Error::MultipleDocuments { .. } => {
                "a second document begins here; write all into one, without a `---` in between".into()
            }
            Error::Unexpected { expected, .. } => format!("{} is expected here", what(expected)).into(),
            Error::InvalidScalar { ty, .. } => format!("{} is expected here", what(ty)).into(),
            Error::InvalidBooleanStrict { .. } => "true or false is expected here".into(),
            Error::NullIntoString { .. } => "there is no value; write one, or leave the key out".into(),
            Error::SerdeInvalidType { unexpected, expected, .. }
            | Error::SerdeInvalidValue { unexpected, expected, .. } => {
                format!("{} is expected here, not {}", what(expected), found(unexpected)).into()
            }
            Error::SerdeInvalidLength { len, expected, .. } => {
                format!("{} is expected here, not {len} of them", what(expected)).into()
            }
            Error::SerdeUnknownVariant { variant, expected, .. } => {
                format!("`{variant}` is none of {}", expected.join(", ")).into()
            }
            Error::SerdeUnknownField { field, expected, .. } => {
                format!("there is no key `{field}` here, only {}", expected.join(", ")).into()
            }
            Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing").into(),
            Error::DuplicateMappingKey { key, .. } => match key {
                Some(key) => format!("the key `{key}` stands here for the second time; keep one of them").into(),
                None => "a key stands here for the second time; keep one of them".into(),
            },
            Error::UnknownAnchor { .. } => "no anchor of this name stands before it".into(),
            Error::QuotingRequired { value, .. } => format!("write it in quotes: \"{value}\"").into(),
            Error::InvalidUtf8Input => "this is not UTF-8".into(),
            Error::AliasReplayCounterOverflow { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
            | Error::RecursiveReferencesRequireWeakTypes { .. }
            | Error::Budget { .. } => "more text, levels or aliases than a configuration can have".into(),
            Error::UnsupportedTag { tag, .. } => format!("the tag `{tag}` means nothing here; leave it out").into(),
            Error::InvalidBinaryBase64 { .. }
            | Error::BinaryNotUtf8 { .. }
            | Error::TaggedScalarCannotDeserializeIntoString { .. }
            | Error::TaggedEnumMismatch { .. } => "a tag (`!…`) means nothing here; leave it out".into(),
            Error::MergeValueNotMapOrSeqOfMaps { .. } | Error::MergeKeyNotAllowed { .. } => {
                "`<<` takes mappings only".into()
            }
            Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. }
            | Error::ExpectedStringKeyForExternallyTaggedEnum { .. } => "a word or a mapping is expected here".into(),
            Error::UnexpectedValueForUnitEnumVariant { .. } | Error::ExpectedMappingEndAfterEnumVariantValue { .. } => {
                "one word is expected here, and nothing more".into()
            }
            _ => "this is no YAML that makes sense here".into(),
        }
    }
}

/// A type of Rust or of YAML, for people.
fn what(expected: &str) -> Cow<'_, str> {
    let text = match expected {
        "bool" | "boolean" | "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number from 0 on",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" | "sequence" | "sequence start" => "a list",
        "a map" | "map" | "mapping" | "mapping start" => "a mapping (`key: value`)",
        "a string" | "string" | "string scalar" | "scalar" | "path string" => "a word",
        _ if expected.starts_with("struct ") => "a mapping (`key: value`)",
        _ if expected.starts_with("enum ") => "one of its words",
        _ if expected.contains("mapping") => "a mapping (`key: value`)",
        _ if expected.contains("sequence") => "a list",
        _ if expected.contains("scalar") => "a word",
        _ => return expected.into(),
    };
    text.into()
}

/// serde's word for what was found.
fn found(unexpected: &str) -> Cow<'_, str> {
    match unexpected {
        "map" => "a mapping".into(),
        "sequence" => "a list".into(),
        "unit value" | "Option value" | "null" => "nothing".into(),
        _ => match unexpected.split_once(' ') {
            Some(("string" | "integer" | "boolean", rest)) => format!("`{}`", rest.trim_matches(['"', '`'])).into(),
            Some(("floating", rest)) => format!("`{}`", rest.trim_start_matches("point ").trim_matches('`')).into(),
            _ => unexpected.into(),
        },
    }
}
