/*
 * The same table as the Rust subagent of this benchmark serves, as one writes it with net-snmp's library: tdata, its
 * container a sorted array (binary search). Arguments: AgentX address, OID of the table, number of rows.
 */
#include <net-snmp/net-snmp-config.h>
#include <net-snmp/net-snmp-includes.h>
#include <net-snmp/agent/net-snmp-agent-includes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 10

typedef struct {
    u_long gauges[5];
    struct counter64 counters[3];
    char texts[2][32];
} row_t;

static int handler(netsnmp_mib_handler *h, netsnmp_handler_registration *r,
                   netsnmp_agent_request_info *info, netsnmp_request_info *requests)
{
    netsnmp_request_info *request;
    (void)h; (void)r;
    if (info->mode != MODE_GET)
        return SNMP_ERR_NOERROR;
    for (request = requests; request; request = request->next) {
        row_t *row = netsnmp_tdata_extract_entry(request);
        netsnmp_table_request_info *where = netsnmp_extract_table_info(request);
        if (row == NULL) {
            netsnmp_set_request_error(info, request, SNMP_NOSUCHINSTANCE);
            continue;
        }
        switch (where->colnum) {
        case 2: case 3: case 4: case 5: case 6:
            snmp_set_var_typed_integer(request->requestvb, ASN_GAUGE, row->gauges[where->colnum - 2]);
            break;
        case 7: case 8: case 9:
            snmp_set_var_typed_value(request->requestvb, ASN_COUNTER64, &row->counters[where->colnum - 7],
                                     sizeof row->counters[0]);
            break;
        case 10: case 11:
            snmp_set_var_typed_value(request->requestvb, ASN_OCTET_STR, row->texts[where->colnum - 10],
                                     strlen(row->texts[where->colnum - 10]));
            break;
        default:
            netsnmp_set_request_error(info, request, SNMP_NOSUCHOBJECT);
        }
    }
    return SNMP_ERR_NOERROR;
}

int main(int argc, char **argv)
{
    oid name[MAX_OID_LEN];
    size_t length = MAX_OID_LEN;
    netsnmp_tdata *table;
    netsnmp_handler_registration *registration;
    netsnmp_table_registration_info *info;
    unsigned rows, n;
    if (argc != 4)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    snmp_enable_stderrlog();
    netsnmp_ds_set_boolean(NETSNMP_DS_APPLICATION_ID, NETSNMP_DS_AGENT_ROLE, 1);
    netsnmp_ds_set_string(NETSNMP_DS_APPLICATION_ID, NETSNMP_DS_AGENT_X_SOCKET, argv[1]);
    init_agent("c_subagent");
    if (!read_objid(argv[2], name, &length))
        return 2;
    rows = strtoul(argv[3], NULL, 10);
    table = netsnmp_tdata_create_table("benchTable", 0);
    netsnmp_tdata_add_index(table, ASN_UNSIGNED);
    info = SNMP_MALLOC_TYPEDEF(netsnmp_table_registration_info);
    netsnmp_table_helper_add_indexes(info, ASN_UNSIGNED, 0);
    info->min_column = 2;
    info->max_column = COLUMNS + 1;
    registration = netsnmp_create_handler_registration("benchTable", handler, name, length, HANDLER_CAN_RONLY);
    if (netsnmp_tdata_register(registration, table, info) != SNMPERR_SUCCESS)
        return 1;
    for (n = 1; n <= rows; n++) {
        netsnmp_tdata_row *entry = netsnmp_tdata_create_row();
        row_t *row = SNMP_MALLOC_TYPEDEF(row_t);
        u_long index = n;
        unsigned i;
        for (i = 0; i < 5; i++)
            row->gauges[i] = n * 10 + i;
        for (i = 0; i < 3; i++)
            row->counters[i].low = n * 100 + i;
        for (i = 0; i < 2; i++)
            snprintf(row->texts[i], sizeof row->texts[i], "text %u of row %u", i, n);
        entry->data = row;
        netsnmp_tdata_row_add_index(entry, ASN_UNSIGNED, &index, sizeof index);
        netsnmp_tdata_add_row(table, entry);
    }
    init_snmp("c_subagent");
    for (;;)
        agent_check_and_process(1);
}
