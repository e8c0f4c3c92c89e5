//! Any bytes as a line of the log: header, tag, repetition, and everything Postfix says behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postfix_agentx::postfix::log::{Line, Tag, address::Form, check, delivery, record, refusal, stamp, text};

fuzz_target!(|bytes: &[u8]| {
    let line = Line::split(bytes);
    assert!(line.text.len() <= bytes.len());
    let tag = Tag::new(line.tag);
    let _ = (tag.label(b"postfix"), line.repeated(), stamp::civil(line.stamp));
    let (_, body) = text::severity(line.text);
    let rest = text::queue_id(body).map_or(body, |(id, rest)| {
        assert_eq!(Some(id), text::QueueId::new(id.as_bytes()));
        rest
    });
    let _ = (text::activation(rest), text::command_counts(rest).count(), text::name(rest), check::check_text(rest));
    let _ = [Form::External, Form::Internal].map(|form| delivery::delivery(rest, form).is_some());
    let _ = (refusal::refusal(rest), refusal::proxied(rest), refusal::blocked_using(rest));
    record::json(bytes).map(|record| record.line().text.len());
});
