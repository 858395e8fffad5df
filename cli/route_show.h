/* SPDX-License-Identifier: MIT */
/* symphony route show: which policies there are, and how they do. */
#ifndef CLI_ROUTE_SHOW_H
#define CLI_ROUTE_SHOW_H

#include "cli.h"

/* Of one service, or of all (NULL); of all buses unless --bus is given. */
int route_show(const struct cli *cli, const char *service);

#endif
