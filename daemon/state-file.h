/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files have in common in which the mediator keeps something of a VM: they are small,
 * named by the VM's UUID, and written whole or not at all. Every name of a VM would not do for a
 * file, and a name may go to another VM.
 */
#ifndef VGPU_STATE_FILE_H
#define VGPU_STATE_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "settings-file.h"
#include "vm-settings.h"

/* state_file_path() - the file of a VM in @directory. Returns 0 or -ENAMETOOLONG */
int state_file_path(const char *directory, const uint8_t uuid[16], char ret[PATH_MAX]);

/* state_file_is_by_uuid() - is this, without its directory, what state_file_path() makes?
 * @ret: the UUID, written when the answer is true; may be NULL */
bool state_file_is_by_uuid(const char *entry, uint8_t ret[16]);

/*
 * state_file_name_of() - the VM's name in the name of a file as mediators before this one made it
 * @ret: to be freed
 *
 * Returns 0, or -EBADMSG or -ENOMEM.
 */
int state_file_name_of(const char *entry, char **ret);

/*
 * state_file_for_each() - every file of the kind in a directory, those by UUID first
 * @handler: gets the whole path, and where in it the file's name begins
 *
 * Returns 0, or a negative errno when the directory cannot be read.
 */
int state_file_for_each(const char *directory,
                        void (*handler)(void *userdata, const char *path, const char *entry),
                        void *userdata);

/*
 * state_file_read() - as settings_file_read(), with no link followed and little read
 * @userdata: replaces that of @handler
 */
int state_file_read(const char *path, const SettingsFileHandler *handler, void *userdata);

/*
 * state_file_write() - put @text in the place of a file
 * @sync: wait for the disk, as what must survive a loss of power needs it
 *
 * Returns 0 or a negative errno. In either case the file has what it had before, or all of @text.
 */
int state_file_write(const char *path, const char *text, bool sync);

/* state_file_remove() - returns 0, also when there is none, or a negative errno */
int state_file_remove(const char *path);

/* ---- Values ----------------------------------------------------------------------------- */

/* state_file_escape() - any text as a value of letters, digits and '_'; to be freed, or NULL */
char *state_file_escape(const char *text);

/* state_file_unescape() - the inverse. Returns 0, -EBADMSG or -ENOMEM */
int state_file_unescape(const char *value, char **ret);

/* state_file_parse_id128() - returns false, with @ret as it was, when it is no UUID */
bool state_file_parse_id128(const char *value, uint8_t ret[16]);

/* state_file_print_id128() - a line */
void state_file_print_id128(FILE *f, const char *key, const uint8_t bytes[16]);

/* state_file_parse_setting() - one of a VM's settings; adds it to the set @which.
 * Returns false when it is none, or not in its range */
bool state_file_parse_setting(const char *name, const char *value, VMSettings *settings,
                              unsigned *which);

/* state_file_print_settings() - a section with the settings of the set @which */
void state_file_print_settings(FILE *f, const char *section, const VMSettings *settings,
                               unsigned which);

#endif
