// SPDX-License-Identifier: GPL-2.0-only
/* The beginning of the list of fault points: this object is linked first. */
#include "fault.h"

struct symp_fault_point *symp_faults_begin[0] __section("symp_faults");
