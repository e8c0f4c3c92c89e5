//! What an instance's configuration says of mail that leaves Postfix and comes back, and of the DNS lists it asks: read from
//! main.cf's parameters and the entries of master.cf (FILTER_README, SMTPD_ACCESS_README, POSTSCREEN_README).
//!
//! A mail that comes back is known by XFORWARD's `orig_queue_id`, by the label of the service that takes it, or by the user a
//! filter of pipe(8) runs as. smtpd does not log which service it is, so a service without a label cannot be told apart.

use super::{flow::Filter, reject::DnsList};
use crate::{
    collect::instance::{Instance, Service},
    config,
};

/// Ways of mail through filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Routes {
    /// Ways into a filter.
    pub filters: Vec<Filter>,
    /// Labels of smtpd services that take mail back.
    pub labels: Vec<Vec<u8>>,
    /// Names of users whose local mail comes back from a filter.
    pub users: Vec<String>,
    /// Services that take mail back and cannot be told apart.
    pub nameless: Vec<String>,
}

impl Routes {
    /// Of main.cf's `content_filter`, the entries of master.cf, and the configuration's own.
    pub(super) fn new(instance: &Instance, services: &[Service], config: &config::Log) -> Self {
        let main = instance.parameter("content_filter");
        let of_services = services.iter().filter_map(|service| service.entry.option("content_filter"));
        let configured = config.filters.iter().map(String::as_str);
        let mut routes = Self::default();
        for filter in main.into_iter().chain(of_services).chain(configured).filter_map(Filter::new) {
            if !routes.filters.contains(&filter) {
                routes.filters.push(filter);
            }
        }
        routes.labels = config.reinject_labels.iter().map(|label| label.clone().into_bytes()).collect();
        if routes.filters.is_empty() {
            return routes;
        }
        for service in services {
            let entry = &service.entry;
            match entry.program() {
                // Nothing more is to be filtered there.
                "smtpd" if entry.option("content_filter") == Some("") => {
                    match service.log_label(&instance.syslog_name) {
                        Some(label) => routes.labels.push(label.as_bytes().to_vec()),
                        None => routes.nameless.push(service.key()),
                    }
                }
                "pipe" if routes.filters.iter().any(|filter| filter.is_through(entry.name.as_bytes())) => {
                    let user = entry.arguments.split_whitespace().find_map(|word| word.strip_prefix("user="));
                    routes.users.extend(user.map(|user| user.split(':').next().unwrap_or(user).to_owned()));
                }
                _ => {}
            }
        }
        routes
    }
}

/// The lists an instance's configuration names; `None` where postconf was not asked.
pub(super) fn lists(instance: &Instance, services: &[Service]) -> Option<Vec<DnsList>> {
    const RESTRICTIONS: [&str; 8] = [
        "smtpd_client_restrictions",
        "smtpd_helo_restrictions",
        "smtpd_sender_restrictions",
        "smtpd_relay_restrictions",
        "smtpd_recipient_restrictions",
        "smtpd_data_restrictions",
        "smtpd_end_of_data_restrictions",
        "smtpd_etrn_restrictions",
    ];
    instance.parameter("mail_version")?;
    let settings = RESTRICTIONS.iter().filter_map(|name| instance.parameter(name));
    let settings = settings.chain(services.iter().map(|service| service.entry.arguments.as_str()));
    let mut lists = Vec::new();
    for setting in settings {
        let words: Vec<&str> = setting
            .split(|c: char| c.is_whitespace() || matches!(c, ',' | '{' | '}'))
            .filter(|word| !word.is_empty())
            .collect();
        for pair in words.windows(2) {
            let asks = pair[0].rsplit('=').next().unwrap_or(pair[0]);
            if ["reject_rbl_", "reject_rhsbl_", "permit_dnswl_", "permit_rhswl_"].iter().any(|w| asks.starts_with(w)) {
                lists.push(DnsList::new(pair[1].split('=').next().unwrap_or(pair[1])));
            }
        }
    }
    let sites = instance.parameter("postscreen_dnsbl_sites").unwrap_or_default();
    for site in sites.split(|c: char| c.is_whitespace() || c == ',').filter(|site| !site.is_empty()) {
        lists.push(DnsList::new(site.split(['=', '*']).next().unwrap_or(site)));
    }
    lists.dedup();
    Some(lists)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::instance::services_of;
    use std::path::Path;

    fn instance(parameters: &[(&str, &str)]) -> Instance {
        crate::collect::instance::made_up::instance(Path::new("/nonexistent"), parameters)
    }

    const SERVICES: &str = "smtp inet n - n - - smtpd -o content_filter=filter:dummy\n\
        filter unix - n n - 10 pipe flags=Rq user=filter:mail null_sender= argv=/path/to/script -f ${sender} -- ${recipient}\n\
        127.0.0.1:10025 inet n - n - - smtpd -o content_filter= -o syslog_name=postfix/back -o mynetworks=127.0.0.0/8\n\
        127.0.0.1:10026 inet n - n - - smtpd -o { content_filter = }\n\
        submission inet n - n - - smtpd -o {content_filter = scan:[127.0.0.1]:10024} -o smtpd_client_restrictions=reject_rbl_client,a.example\n\
        other unix - n n - 10 pipe user=nobody argv=/x";

    #[test]
    fn filters_named_in_master_cf() {
        let routes = Routes::new(&instance(&[("content_filter", "")]), &services_of(SERVICES), &config::Log::default());
        let filters: Vec<_> = ["filter:dummy", "scan:[127.0.0.1]:10024"].into_iter().filter_map(Filter::new).collect();
        assert_eq!(routes.filters, filters);
        assert_eq!((routes.labels, routes.users), (vec![b"back".to_vec()], vec!["filter".to_owned()]));
        assert_eq!(routes.nameless, ["127.0.0.1:10026/inet"]);
        let none = Routes::new(
            &instance(&[]),
            &services_of("127.0.0.1:10026 inet n - n - - smtpd -o content_filter="),
            &config::Log::default(),
        );
        assert_eq!(none, Routes::default(), "without a filter nothing comes back");
    }

    #[test]
    fn lists_of_the_configuration() {
        let instance = instance(&[
            ("mail_version", "3.7.11"),
            (
                "smtpd_recipient_restrictions",
                "permit_mynetworks, reject_rbl_client zen.example=127.0.0.[2..11], reject_rhsbl_sender dbl.example",
            ),
            ("postscreen_dnsbl_sites", "abcdefghijklmnop1234567890.zen.dq.spamhaus.net=127.0.0.2*3, b.example*2"),
        ]);
        let shown: Vec<_> =
            lists(&instance, &services_of(SERVICES)).unwrap_or_default().into_iter().map(|l| l.shown).collect();
        assert_eq!(shown, ["zen.example", "dbl.example", "a.example", "zen.dq.spamhaus.net", "b.example"]);
    }
}
