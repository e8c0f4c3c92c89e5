//! The promise: the files of integrations/ work in the managers they are for, and no fault looks like success.
//!
//! Each test starts the real program from Debian's packages on loopback, with the shipped file, beside a rig of two Postfix
//! instances, snmpd and the unprivileged agent. It plays four faults and sees the alarm of each come and go. They are
//! ignored by `make test`, because the packages are large: `make test-managers` installs them and runs all.

mod fleet;
mod http;
mod prometheus;
mod rig;
mod script;

script::scripts!(collectd, icinga2, librenms, mrtg, munin, zabbix, zabbix7);
