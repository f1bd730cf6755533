/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text for people. Names come from libvirt or from a guest, so they must not reach the
 * terminal unescaped.
 */
#ifndef VGPU_CTL_TEXT_H
#define VGPU_CTL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_SIZE 64

/*
 * text_escape() - @text with each byte of what the locale cannot print, or nobody sees, as \xNN
 *
 * So it does with characters that nobody sees, or that change the order of others: controls,
 * those of zero width, those that turn the direction of writing. Returns a new string, or NULL
 * without memory.
 */
char *text_escape(const char *text);

/*
 * text_escape_utf8() - the same for what is UTF-8 in every locale
 *
 * Bytes that are no UTF-8 become \xNN, too. Returns a new string, or NULL without memory.
 */
char *text_escape_utf8(const char *text);

/*
 * text_write_json() - write a part of JSON, with \uNNNN for what text_escape_utf8() escapes
 * @text: UTF-8. ASCII in it stays as it is
 * @size: its bytes; no character is cut off at its end
 *
 * It is the same text to who reads the JSON; what is no UTF-8 becomes U+FFFD.
 */
void text_write_json(FILE *f, const char *text, size_t size);

/*
 * text_usec() - a time span as systemd writes it, in three digits: "12us",
 * "1.23ms", "45.6s", "2min 3s", "1h 5min", "3d 4h"
 *
 * Returns @buffer, of TEXT_SIZE bytes.
 */
char *text_usec(uint64_t usec, char *buffer);

/* text_bytes() - a size as systemd writes it: "512B", "1.5K", "24.0G". Returns @buffer */
char *text_bytes(uint64_t bytes, char *buffer);

/* text_rate() - a rate a second, in three digits or more: "0.5", "12.3", "4567". Returns @buffer */
char *text_rate(double rate, char *buffer);

/* text_timestamp() - local time: "Tue 2026-11-24 09:42:31 UTC". Returns @buffer */
char *text_timestamp(uint64_t realtime_usec, char *buffer);

/* text_nearest() - the one of @n @words that the user may have meant by @text, or NULL */
const char *text_nearest(const char *text, const char *const *words, size_t n);

/* print_error() - write a line to standard error, escaped as by text_escape() */
void print_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
