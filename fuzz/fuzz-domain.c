/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a domain's XML as the hook does, and changes it as vgpuctl does. */
#include <stdlib.h>
#include <string.h>

#include "domain-attach.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A message must be one line, and come in the right cases only. */
static void check_error(char *error, bool expected)
{
    require((error != NULL) == expected);
    require(!error || !strchr(error, '\n'));
    free(error);
}

static void parse(const uint8_t *data, size_t size)
{
    char *error = NULL;
    Domain *d = NULL;
    int r = domain_parse((const char *) data, size, &d, &error);

    check_error(error, r != 0);
    require((d != NULL) == (r == 0 || r == DOMAIN_INVALID_DEVICE));
    if (d && d->has_device) {
        const VMSettings *settings = &d->device.settings;

        require(settings->pool >= 'A' && settings->pool <= 'Z');
        require(settings->priority <= 2);
        require(settings->queue_limit <= VM_QUEUE_LIMIT_MAX);
        require(settings->weight <= VM_WEIGHT_MAX);
    }
    domain_free(d);
}

/* Attaches once more, which must work. Takes over @xml. */
static char *attach_again(char *xml, const DomainAttributes *attributes, int *ret_result)
{
    char *again = NULL, *error = NULL;

    *ret_result = attach_to_xml(xml, attributes, &again, &error);
    require(*ret_result == ATTACH_UNCHANGED || *ret_result == ATTACH_CHANGED);
    free(xml);
    return again;
}

/*
 * Attach does not change what attach has written, and detach undoes it. libxml2 needs
 * another round for a namespace that contains a line break: it writes the line break
 * as it is, and reads it as a blank.
 */
static void change(const char *xml)
{
    const DomainAttributes attributes = {
        .settings = {[VM_SETTING_POOL] = "A", [VM_SETTING_PRIORITY] = "low"}};
    char *attached = NULL, *detached = NULL, *error = NULL;
    int r = attach_to_xml(xml, &attributes, &attached, &error);

    check_error(error, r == ATTACH_FAILED);
    if (r == ATTACH_FAILED)
        return;

    attached = attach_again(attached, &attributes, &r);
    if (r == ATTACH_CHANGED)
        attached = attach_again(attached, &attributes, &r);
    require(r == ATTACH_UNCHANGED);
    require(strstr(attached, DOMAIN_NAMESPACE) != NULL);

    require(detach_from_xml(attached, &detached, &error) == ATTACH_CHANGED);
    free(detached);
    free(attached);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *xml = malloc(size + 1);

    require(xml != NULL);
    memcpy(xml, data, size);
    xml[size] = '\0';
    parse(data, size);
    change(xml);
    free(xml);
    return 0;
}
