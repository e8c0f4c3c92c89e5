//! snmp_exporter and Prometheus with the shipped snmp.yml and rules, and the dashboard's expressions.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::http;
use super::rig::{FAULTS, Fault, Rig};
use crate::common::{Daemon, PATIENCE, Port, capture, mibs_dir, repository, tool, wait_for};

struct Prometheus {
    port: Port,
    exporter_port: Port,
    _daemon: Daemon,
    _exporter: Daemon,
}

fn shipped(name: &str) -> String {
    let path = repository().join("integrations").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Prometheus {
    fn start(rig: &Rig) -> Self {
        let (port, exporter_port) = (Port::reserve(), Port::reserve());
        let snmp = rig.files.write("snmp.yml", &shipped(format(&rig.files)));
        let mut command = rig.files.command("prometheus-snmp-exporter");
        command
            .arg(format!("--config.file={}", snmp.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{exporter_port}"));
        let exporter = Daemon::spawn("snmp_exporter", &mut command, rig.files.path("exporter.log"));
        // Minutes of patience are right on a real host; here a state counts as soon as it was seen twice.
        let rules: String = shipped("prometheus/postfix.rules.yml")
            .lines()
            .map(|line| {
                if line.trim_start().starts_with("for: ") {
                    "        for: 2s\n".to_owned()
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
        rig.files.write("postfix.rules.yml", &rules);
        let (snmpd, exporter_at) = (rig.snmpd.address(), format!("127.0.0.1:{exporter_port}"));
        rig.files.write(
            "prometheus.yml",
            &format!(
                "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [postfix.rules.yml]\nscrape_configs:\n\
                 - job_name: postfix\n  metrics_path: /snmp\n  params: {{ module: [postfix]{} }}\n  static_configs: [{{ targets: ['{snmpd}'] }}]\n  \
                 relabel_configs:\n  - {{ source_labels: [__address__], target_label: __param_target }}\n  \
                 - {{ source_labels: [__param_target], target_label: instance }}\n  - {{ target_label: __address__, replacement: '{exporter_at}' }}\n",
                if format(&rig.files).contains("0.22") { "" } else { ", auth: [public_v2]" }
            ),
        );
        let mut command = rig.files.command("prometheus");
        command
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let daemon = Daemon::spawn("prometheus", &mut command, rig.files.path("prometheus.log"));
        Self { port, exporter_port, _daemon: daemon, _exporter: exporter }
    }

    fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let answer = http::get(self.port.number(), &format!("/api/v1/query?query={}", http::escaped(expression)))?;
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }

    fn firing(&self) -> BTreeSet<String> {
        let answer = http::get(self.port.number(), "/api/v1/alerts").unwrap_or_default();
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.filter_map(|alert| alert["labels"]["alertname"].as_str().map(str::to_owned)).collect()
    }
}

/// The file for the exporter that is installed: 0.23 changed the format.
fn format(files: &crate::common::Sandbox) -> &'static str {
    let ran = capture(files.command("prometheus-snmp-exporter").arg("--version"));
    let version = format!("{}{}", ran.stdout, ran.stderr);
    let minor = version.split("version 0.").nth(1).and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    if minor.expect("the exporter's version") < 23 { "prometheus/snmp-0.22.yml" } else { "prometheus/snmp.yml" }
}

/// What has to fire, by the name of the alert.
fn expected(fault: Fault) -> &'static [&'static str] {
    match fault {
        Fault::AgentStopped => &["PostfixAgentMissing"],
        Fault::SnmpdStopped => &["PostfixSnmpUnreachable"],
        Fault::InstanceStopped => &["PostfixInstanceDown", "PostfixCritical"],
        Fault::LogUnreadable => &["PostfixSourceFailing"],
    }
}

#[test]
#[ignore = "needs Debian's prometheus packages: make test-managers"]
fn prometheus_sees_every_fault() {
    let mut rig = Rig::start();
    let prometheus = Prometheus::start(&rig);
    wait_for("values in Prometheus", PATIENCE, || {
        prometheus.query("postfixMailReceivedMessages").ok().filter(|rows| rows.len() == 2)
    });
    wait_for("the histogram", PATIENCE, || {
        prometheus.query("postfix:delay_seconds_bucket").ok().filter(|rows| rows.len() > 100)
    });
    every_panel_runs(&prometheus);
    wait_for("quiet", PATIENCE, || prometheus.firing().is_empty().then_some(()));
    for fault in FAULTS {
        rig.play(fault);
        let seen = wait_for(&format!("the alarm of {fault:?}"), PATIENCE * 2, || {
            let firing = prometheus.firing();
            expected(fault).iter().all(|name| firing.contains(*name)).then_some(firing)
        });
        // One fault is one alarm, not one for each of the daemons that went with it.
        assert!(!seen.contains("PostfixDaemonNotRunning"), "{seen:?}");
        rig.repair(fault);
        wait_for(&format!("quiet after {fault:?}"), PATIENCE * 2, || prometheus.firing().is_empty().then_some(()));
        eprintln!("{fault:?}: {seen:?}, and gone");
    }
    let samples = prometheus.query("scrape_samples_scraped").expect("an answer");
    eprintln!("scraped from port {}: {}", prometheus.exporter_port, samples[0]["value"][1]);
}

/// Every expression of the dashboard is one that Prometheus can run.
fn every_panel_runs(prometheus: &Prometheus) {
    let board: Value = serde_json::from_str(&shipped("grafana/postfix.json")).expect("JSON");
    let mut empty = Vec::new();
    for panel in board["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let mut expression = target["expr"].as_str().expect("an expression").replace("$__rate_interval", "10s");
            for variable in ["$job", "$instance", "$postfix"] {
                expression = expression.replace(variable, ".*");
            }
            let rows = prometheus.query(&expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
            if rows.is_empty() {
                empty.push(panel["title"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    eprintln!("panels without a value in this rig: {empty:?}");
}

#[test]
#[ignore = "needs Debian's prometheus packages: make test-managers"]
fn promtool_and_the_generator_agree() {
    let rules = repository().join("integrations/prometheus/postfix.rules.test.yml");
    let ran = capture(tool("promtool").args(["test", "rules"]).arg(&rules));
    assert!(ran.code == 0, "{}{}", ran.stdout, ran.stderr);
    // What integrations/generate writes is what snmp_exporter's own generator makes of generator.yml.
    let files = crate::common::Sandbox::new("generator");
    files.mkdir("mibs", 0o755, None);
    let ours = repository().join("mibs/POSTFIX-MIB.txt");
    let modules = std::fs::read_dir(mibs_dir()).expect("modules").map(|entry| entry.expect("an entry").path());
    for module in modules.filter(|path| path.extension().is_some_and(|end| end == "txt")).chain([ours]) {
        std::fs::copy(&module, files.path("mibs").join(module.file_name().expect("a name"))).expect("copied");
    }
    files.write("generator.yml", &shipped("prometheus/generator.yml"));
    let mut command = files.command("timeout");
    command
        .args(["60", "prometheus-snmp-generator", "--fail-on-parse-errors", "generate"])
        .env("MIBDIRS", files.path("mibs"))
        .env_remove("MIBS");
    let ran = capture(&mut command);
    assert!(ran.code == 0, "{}{}", ran.stdout, ran.stderr);
    let theirs = std::fs::read_to_string(files.path("snmp.yml")).expect("what it wrote");
    let [theirs, ours] =
        [theirs, shipped(format(&files))].map(|text| serde_yaml::from_str::<Value>(&text).expect("YAML"));
    let modules = |value: &Value| value.get("modules").unwrap_or(value).clone();
    assert!(modules(&theirs) == modules(&ours), "the generator writes something else");
}

/// Why there is a rule PostfixAgentMissing.
#[test]
#[ignore = "needs Debian's prometheus packages: make test-managers"]
fn a_scrape_of_a_missing_agent_is_a_success_to_the_exporter() {
    let mut rig = Rig::start();
    let prometheus = Prometheus::start(&rig);
    let path = format!("/snmp?module=postfix&target={}", rig.snmpd.address());
    wait_for("the exporter", PATIENCE, || {
        http::request(prometheus.exporter_port.number(), "GET", &path, "", "")
            .ok()
            .filter(|text| text.contains("postfixHealth"))
    });
    rig.play(Fault::AgentStopped);
    // Why PostfixAgentMissing has to be there: the answer is 200, and nothing of ours is in it.
    wait_for("an empty answer", Duration::from_secs(30), || {
        http::request(prometheus.exporter_port.number(), "GET", &path, "", "")
            .ok()
            .filter(|text| !text.contains("postfixHealth"))
    });
}
