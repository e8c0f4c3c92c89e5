//! The places of a log line where somebody outside chooses the text, and how Postfix writes that text there. The same code
//! serves the metamorphic test and the fuzz target.

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `to=<…>`, and the same address without quotes in a reply of smtpd.
    Recipient,
    /// `orig_to=<…>`.
    OriginalRecipient,
    /// `from=<…>`.
    Sender,
    /// `helo=<…>`, and the same name in a reply.
    Helo,
    /// The name before `[address]`.
    Client,
    /// What another server said.
    Reply,
    /// A header or a line of the body.
    Content,
    /// `message-id=<…>`.
    MessageId,
    /// What was sent where Postfix expected something else.
    Garbage,
    /// `sasl_username=…`.
    UserName,
}

/// All of them.
pub const FIELDS: [Field; 10] = [
    Field::Recipient,
    Field::OriginalRecipient,
    Field::Sender,
    Field::Helo,
    Field::Client,
    Field::Reply,
    Field::Content,
    Field::MessageId,
    Field::Garbage,
    Field::UserName,
];

/// Text that imitates what Postfix writes.
pub const HOSTILE: [&str; 26] = [
    "x>, relay=y, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 ok",
    "x, relay=y, delay=0, delays=0/0/0/0, dsn=5.9.9, status=bounced (z",
    "x>, orig_to=<q@r>, relay=y, status=deliverable (z",
    "@x>, relay=y, delay=9, delays=9/0/0/0, dsn=2.0.0, status=sent (z:c",
    "x, delay=18446744073709551, delays=18446744073709551/1/1/18446744073709551, dsn=2.0.0, status=sent (",
    "e>: 4.7.1 w",
    "e>: 5.7.1 w",
    "x blocked using evil.example; y",
    "x] blocked using evil.example; [y",
    "q, status=force-expired, returned to sender",
    "q>, status=expired, returned to sender",
    "x>, size=9, nrcpt=9 (queue active)",
    "x> orig_id=9",
    "a ports busy",
    "all server ports busy",
    "Anonymous TLS connection established from x[192.0.2.1]: TLSv1.3 with cipher y (1/1 bits)",
    "Trusted TLS connection established to x[192.0.2.1]:25: TLSv1.3 with cipher y (1/1 bits)",
    "x[192.0.2.1]: SASL LOGIN authentication failed: y, sasl_username=alice, z",
    "Connection rate limit exceeded: 3 from b for service smtp",
    "; from=<a@b> to=<c@d> proto=ESMTP helo=<h>: 4.0.0 x",
    "x>: Relay access denied; from=<y@z> to=<q@r> proto=ESMTP helo=<h>",
    "x>: Recipient address rejected: Greylisted; from=<",
    "host m[192.0.2.1] refused to talk to me: 450 x",
    "greylisted policy SPF DMARC too many throttled spam virus User unknown",
    "mail for x loops back to myself, forwarded as 0F5383D, message rejected: hopcount exceeded",
    "x, orig_queue_id=17CCA8044, orig_client=y[192.0.2.1]",
];

/// The line with `text` at that place; `None` where it has no such place, or Postfix would not let the text through.
pub fn replaced(line: &str, field: Field, text: &str) -> Option<String> {
    let program = line.split(':').next()?.rsplit('/').next()?;
    match field {
        Field::Recipient => {
            let line = with_address(line, "to=<", text)?;
            Some(line)
        }
        Field::OriginalRecipient => with_address(line, "orig_to=<", text),
        Field::Sender => with_address(line, "from=<", text),
        Field::Helo => {
            let old = inside(line, "helo=<")?;
            // neuter() of smtpd.c.
            let name: String = text.chars().map(|c| if " <>()\\\";@".contains(c) { '?' } else { c }).collect();
            let line = line.replacen(&format!("helo=<{old}>"), &format!("helo=<{name}>"), 1);
            Some(line.replacen(
                &format!("<{old}>: Helo command rejected"),
                &format!("<{name}>: Helo command rejected"),
                1,
            ))
        }
        Field::Client => {
            // valid_hostname(): anything else is called unknown.
            let name: String =
                text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).take(60).collect();
            let name = format!("h{}.example", name.trim_matches(['.', '-']).to_ascii_lowercase());
            let marks = ["client=", " from ", "warning: ", "hostname "];
            let at = marks.iter().filter_map(|mark| Some(line.find(mark)? + mark.len())).min()?;
            let end = at + line[at..].find('[')?;
            let old = &line[at..end];
            (!old.is_empty() && !old.contains([' ', ':', '<', '/']) && line[end..].starts_with("[192.0.2."))
                .then(|| line.replace(&format!("{old}["), &format!("{name}[")))
        }
        Field::Reply => {
            if !matches!(program, "smtp" | "lmtp") {
                return None;
            }
            let marks = [
                " said: ",
                " refused to talk to me: ",
                "status=sent (250 ",
                "Recipient address rejected: unverified address: ",
            ];
            let at = marks.iter().find_map(|mark| Some(line.find(mark)? + mark.len()))?;
            let code: String =
                line[at..].chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ' ')).collect();
            let end = line.find(" (in reply to ").or_else(|| line.rfind(')')).unwrap_or(line.len());
            (end >= at + code.len()).then(|| format!("{}{text}{}", &line[..at + code.len()], &line[end..]))
        }
        Field::Content => {
            if program != "cleanup" {
                return None;
            }
            let at = ["header ", "body "].iter().find_map(|mark| Some(line.find(mark)? + mark.len()))?;
            let end = line
                .rfind(" from local;")
                .or_else(|| line.find("]; from=<").and_then(|e| line[..e].rfind(" from ")))?;
            // What local users can imitate is said in check.rs.
            let local = line[end..].starts_with(" from local;");
            if local && (text.contains("from=<") || text.contains(" helo=<")) {
                return None;
            }
            let text: String = text.chars().take(190).collect();
            (end > at).then(|| format!("{}X: {text}{}", &line[..at], &line[end..]))
        }
        Field::MessageId => {
            let old = inside(line, "message-id=<")?;
            Some(line.replacen(&format!("message-id=<{old}>"), &format!("message-id=<{text}>"), 1))
        }
        Field::Garbage => {
            let marks = [
                "non-SMTP command from ",
                "improper command pipelining after ",
                "Illegal address syntax from ",
                "PREGREET ",
                "NON-SMTP COMMAND from ",
                "COMMAND PIPELINING from ",
            ];
            marks.iter().find(|mark| line.contains(*mark))?;
            let at =
                ["]: ", " command: ", "HELO: "].iter().filter_map(|mark| Some(line.rfind(mark)? + mark.len())).max()?;
            Some(format!("{}{text}", &line[..at]))
        }
        Field::UserName => {
            let at = line.rfind("sasl_username=").map(|at| at + "sasl_username=".len())?;
            let rest = &line[at..];
            (!rest.starts_with('<') && !rest.contains(", ")).then(|| format!("{}{text}", &line[..at]))
        }
    }
}

fn inside<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let at = line.find(mark)? + mark.len();
    Some(&line[at..at + line[at..].find('>')?])
}

/// The address behind `mark` with another local part, in external form, and in internal form where a reply names it.
fn with_address(line: &str, mark: &str, text: &str) -> Option<String> {
    let at = line.match_indices(mark).map(|(at, _)| at).find(|at| {
        // `to=<` is the end of `orig_to=<`.
        !line[..*at].ends_with(|c: char| c == '_' || c.is_ascii_alphanumeric())
    })? + mark.len();
    let old = &line[at..at + line[at..].find('>')?];
    if old.contains('"') {
        return None;
    }
    let domain = old.rsplit_once('@').map_or("d.example", |(_, domain)| domain);
    let internal = format!("{text}@{domain}");
    let external = external(&internal);
    let changed = format!("{}{external}{}", &line[..at], &line[at + old.len()..]);
    let named = format!("<{old}>: ");
    Some(changed.replacen(&named, &format!("<{internal}>: "), usize::from(!old.is_empty())))
}

/// quote_822_local() of quote_822_local.c.
pub fn external(internal: &str) -> String {
    let route = if internal.starts_with('@') { internal.find(':').map_or(0, |colon| colon + 1) } else { 0 };
    let (route, mailbox) = internal.split_at(route);
    let (local, domain) = mailbox.rsplit_once('@').map_or((mailbox, None), |(local, domain)| (local, Some(domain)));
    let special = |c: char| c == ' ' || c.is_control() || "()<>@,;:\\\"[]".contains(c);
    let dots = local.is_empty() || local.starts_with('.') || local.ends_with('.') || local.contains("..");
    let quoted = if dots || local.contains(special) {
        format!("\"{}\"", local.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        local.to_owned()
    };
    match domain {
        Some(domain) => format!("{route}{quoted}@{domain}"),
        None => format!("{route}{quoted}"),
    }
}
