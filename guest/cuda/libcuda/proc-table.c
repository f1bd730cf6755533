/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This file sees no prototypes: it needs nothing of the functions but where they are. */
#include "proc-table.h"

#include "symbols.h"

#define PROC_DECLARE_(symbol, base, since, streams) extern int symbol(void);
LIBCUDA_SYMBOLS(PROC_DECLARE_)
#undef PROC_DECLARE_

const ProcRow proc_table[] = {
#define PROC_ROW_(symbol, base, since, streams) {#base, symbol, (since), PROC_STREAMS_##streams},
    LIBCUDA_SYMBOLS(PROC_ROW_)
#undef PROC_ROW_
};

const size_t proc_table_n = sizeof(proc_table) / sizeof(proc_table[0]);
