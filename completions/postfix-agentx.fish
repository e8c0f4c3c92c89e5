# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_postfix_agentx_global_optspecs
    string join \n h/help V/version
end

function __fish_postfix_agentx_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_postfix_agentx_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_postfix_agentx_using_subcommand
    set -l cmd (__fish_postfix_agentx_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c postfix-agentx -n "__fish_postfix_agentx_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c postfix-agentx -n "__fish_postfix_agentx_needs_command" -s V -l version -d 'Print version'
complete -c postfix-agentx -n "__fish_postfix_agentx_needs_command" -f -a "run" -d 'Serve POSTFIX-MIB until SIGTERM; SIGHUP takes a changed configuration over'
complete -c postfix-agentx -n "__fish_postfix_agentx_needs_command" -f -a "status" -d 'Ask hosts over SNMP how the mail is: queues, mail flow, what waits and why, what is wrong and what to do'
complete -c postfix-agentx -n "__fish_postfix_agentx_needs_command" -f -a "dump" -d 'Collect once and print every object as `snmpwalk` would, without snmpd and without any MIB installed'
complete -c postfix-agentx -n "__fish_postfix_agentx_needs_command" -f -a "check" -d 'Look at configuration, Postfix, rights, state directory and snmpd, and say what to do about each'
complete -c postfix-agentx -n "__fish_postfix_agentx_needs_command" -f -a "probe" -d 'Run a configured probe once, now, or all of them, and print how long each stage took'
complete -c postfix-agentx -n "__fish_postfix_agentx_needs_command" -f -a "notify" -d 'Send a test notification through snmpd, so that the way to the managers can be tried'
complete -c postfix-agentx -n "__fish_postfix_agentx_needs_command" -f -a "count" -d 'Count log files from start to end and print every counter'
complete -c postfix-agentx -n "__fish_postfix_agentx_needs_command" -f -a "mib" -d 'Print the MIB modules, at another root if you like'
complete -c postfix-agentx -n "__fish_postfix_agentx_needs_command" -f -a "setup-snmpd" -d 'Print the lines that snmpd\'s configuration lacks, write them where they belong, or take them away again'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand run" -s c -l config -d 'Configuration file [default: /etc/postfix-agentx/config.yaml where that exists, else the built-in defaults]' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand run" -s h -l help -d 'Print help'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -s w -l watch -d 'Stay, and ask again every so often [default of SECONDS: 2s]; q ends it' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -s s -l sample -d 'How long mail is counted for the numbers a minute; 0 does not wait for them [default: 3s]' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -l root -d 'Where postfixMIB is [default: what the configuration here says, if it may be read, else 1.3.6.1.4.1.8072.9999.9999.25; an agent elsewhere is found by what it announced]' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -s c -l config -d 'Configuration file [default: /etc/postfix-agentx/config.yaml where that exists, else the built-in defaults]' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -l community -d 'SNMPv2c with this community; everybody on this host can read it while the command runs, so for one that is secret use the environment\'s POSTFIX_AGENTX_COMMUNITY or --secrets' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -s u -l security-name -d 'SNMPv3 as this user; passphrases come from POSTFIX_AGENTX_AUTH_PASSPHRASE and POSTFIX_AGENTX_PRIV_PASSPHRASE, --secrets or snmp.conf' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -s l -l level -d 'noAuthNoPriv, authNoPriv or authPriv [default: what there are passphrases for]' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -s a -l auth-protocol -d 'MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512 [default: SHA]' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -s x -l priv-protocol -d 'DES, AES, AES-192, AES-256, AES-192-C or AES-256-C [default: AES]' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -l secrets -d 'Communities and passphrases, written as in snmp.conf: defCommunity, defAuthPassphrase, defPrivPassphrase …' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -s t -l timeout -d 'Seconds to wait for each answer [default: 1]' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -s r -l retries -d 'How often to ask again [default: 5]' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -s v -l verbose -d 'Everything: every instance\'s queues, every domain, probe, certificate and service; of several hosts more than a line each'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -l json -d 'Print one JSON object, described in docs/status.md'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -l nagios -d 'Print one line with performance data, as monitoring plugins do; one HOST only'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand status" -s h -l help -d 'Print help'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand dump" -s c -l config -d 'Configuration file [default: /etc/postfix-agentx/config.yaml where that exists, else the built-in defaults]' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand dump" -s n -l numeric -d 'Print numbers instead of names, as `snmpwalk -On` does'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand dump" -s h -l help -d 'Print help'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -s c -l config -d 'Configuration file [default: /etc/postfix-agentx/config.yaml where that exists, else the built-in defaults]' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -l user -d 'The user the daemon runs as, by name or uid, perhaps with :GROUP; only root can look as another one [default: what the unit postfix-agentx.service says]' -r -f -a "(__fish_complete_users)"
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -l host -d 'Where snmpd answers SNMP [default: what agentAddress in snmpd.conf says, else 127.0.0.1]' -r -f -a "(__fish_print_hostnames)"
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -l snmpd-conf -d 'Read this file, and others given so, instead of snmpd\'s own' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -l community -d 'SNMPv2c with this community; everybody on this host can read it while the command runs, so for one that is secret use the environment\'s POSTFIX_AGENTX_COMMUNITY or --secrets' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -s u -l security-name -d 'SNMPv3 as this user; passphrases come from POSTFIX_AGENTX_AUTH_PASSPHRASE and POSTFIX_AGENTX_PRIV_PASSPHRASE, --secrets or snmp.conf' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -s l -l level -d 'noAuthNoPriv, authNoPriv or authPriv [default: what there are passphrases for]' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -s a -l auth-protocol -d 'MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512 [default: SHA]' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -s x -l priv-protocol -d 'DES, AES, AES-192, AES-256, AES-192-C or AES-256-C [default: AES]' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -l secrets -d 'Communities and passphrases, written as in snmp.conf: defCommunity, defAuthPassphrase, defPrivPassphrase …' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -s t -l timeout -d 'Seconds to wait for each answer [default: 1]' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -s r -l retries -d 'How often to ask again [default: 5]' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -l json -d 'Print one JSON object'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand check" -s h -l help -d 'Print help'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand probe" -s c -l config -d 'Configuration file [default: /etc/postfix-agentx/config.yaml where that exists, else the built-in defaults]' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand probe" -s h -l help -d 'Print help'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand notify" -s c -l config -d 'Configuration file [default: /etc/postfix-agentx/config.yaml where that exists, else the built-in defaults]' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand notify" -l test -d 'Send postfixTestNotification; there is nothing else to send by hand'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand notify" -s h -l help -d 'Print help'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand count" -s c -l config -d 'Configuration file with log.hosts, log.filters, log.reinject_labels and patterns; without it none of them' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand count" -l json -d 'Print one JSON object'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand count" -l unrecognised -d 'Print the lines that are not understood instead, up to 10,000 of them: please send them with a report'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand count" -s h -l help -d 'Print help'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand mib" -s c -l config -d 'Configuration file [default: /etc/postfix-agentx/config.yaml where that exists, else the built-in defaults]' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand mib" -l root -d 'Where postfixMIB is to be' -r
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand mib" -s d -l directory -d 'Write a file for each module into this directory instead of printing them' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand mib" -s h -l help -d 'Print help'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand setup-snmpd" -l snmpd-conf -d 'snmpd\'s main file [default: /etc/snmp/snmpd.conf]' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand setup-snmpd" -s c -l config -d 'Configuration file [default: /etc/postfix-agentx/config.yaml where that exists, else the built-in defaults]' -r -F
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand setup-snmpd" -l write -d 'Write them: into a file of their own where snmpd.conf includes a directory (Debian 12 and newer), else into a marked part at its end (RHEL)'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand setup-snmpd" -l remove -d 'Take away what --write wrote'
complete -c postfix-agentx -n "__fish_postfix_agentx_using_subcommand setup-snmpd" -s h -l help -d 'Print help'
