// SPDX-License-Identifier: GPL-2.0-only
/* The module: parameters, init and exit. */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/symphony.h>

#include "admit.h"
#include "call.h"
#include "chore.h"
#include "death.h"
#include "device.h"
#include "limits.h"
#include "netlink.h"
#include "owner.h"
#include "program.h"
#include "route.h"

uint symp_pool_default = 1U << 20;
module_param_named(pool_default, symp_pool_default, uint, 0444);
MODULE_PARM_DESC(pool_default, "pool of an endpoint that asks for none, in bytes");

uint symp_pool_max = 64U << 20;
module_param_named(pool_max, symp_pool_max, uint, 0444);
MODULE_PARM_DESC(pool_max, "largest pool of an endpoint, in bytes");

uint symp_calls_max = 16384;
module_param_named(calls_max, symp_calls_max, uint, 0644);
MODULE_PARM_DESC(calls_max, "calls of an endpoint without an outcome fetched");

uint symp_queue_max = 4096;
module_param_named(queue_max, symp_queue_max, uint, 0644);
MODULE_PARM_DESC(queue_max, "messages of one sender at one endpoint");

uint symp_services_max = 65536;
module_param_named(services_max, symp_services_max, uint, 0644);
MODULE_PARM_DESC(services_max, "services of a bus");

uint symp_user_buses_max = 256;
module_param_named(user_buses_max, symp_user_buses_max, uint, 0644);
MODULE_PARM_DESC(user_buses_max, "buses that a user created");

uint symp_user_endpoints_max = 1024;
module_param_named(user_endpoints_max, symp_user_endpoints_max, uint, 0644);
MODULE_PARM_DESC(user_endpoints_max, "endpoints of a user");

uint symp_user_pool_max = 256;
module_param_named(user_pool_max, symp_user_pool_max, uint, 0644);
MODULE_PARM_DESC(user_pool_max, "pools of a user, in MiB");

uint symp_user_calls_max = 65536;
module_param_named(user_calls_max, symp_user_calls_max, uint, 0644);
MODULE_PARM_DESC(user_calls_max, "calls of a user without an outcome fetched");

uint symp_user_services_max = 16384;
module_param_named(user_services_max, symp_user_services_max, uint, 0644);
MODULE_PARM_DESC(user_services_max, "services that a user claimed first");

uint symp_user_files_max = 4096;
module_param_named(user_files_max, symp_user_files_max, uint, 0644);
MODULE_PARM_DESC(user_files_max, "files that a user sent and nobody took or closed");

uint symp_user_claims_max = 65536;
module_param_named(user_claims_max, symp_user_claims_max, uint, 0644);
MODULE_PARM_DESC(user_claims_max, "claims of a user's endpoints");

uint symp_user_records_max = 65536;
module_param_named(user_records_max, symp_user_records_max, uint, 0644);
MODULE_PARM_DESC(user_records_max, "records of a user's endpoints at others: senders, watches, cancelled calls");

static bool parameters_are_valid(void)
{
	return PAGE_ALIGNED(symp_pool_default) && PAGE_ALIGNED(symp_pool_max) &&
	       symp_pool_default >= SYMPHONY_POOL_MIN &&
	       symp_pool_default <= symp_pool_max &&
	       symp_pool_max <= SYMPHONY_POOL_MAX;
}

static int __init symp_init(void)
{
	int err;

	if (!parameters_are_valid()) {
		pr_err("symphony: pool_default and pool_max have to be multiples of the page size, %u <= pool_default <= pool_max <= %u\n",
		       SYMPHONY_POOL_MIN, SYMPHONY_POOL_MAX);
		return -EINVAL;
	}
	err = symp_call_init();
	if (err)
		return err;
	err = symp_chores_init();
	if (err)
		goto err_exit_call;
	err = symp_route_init() ?: symp_admit_init();
	if (err)
		goto err_exit_chores;
	err = symp_netlink_init();
	if (err)
		goto err_exit_chores;
	err = symp_device_init();
	if (err)
		goto err_exit_netlink;
	return 0;

err_exit_netlink:
	symp_netlink_exit();
err_exit_chores:
	symp_chores_exit();
err_exit_call:
	symp_call_exit();
	return err;
}

/*
 * No file is open any more, so no endpoint lives. What can still run is the look
 * at their owners; the deaths of endpoints, which are told to listeners. When
 * those are over every call has its outcome, and starts no timer and no chore
 * any more. Then the chores of moves, the work of expired timers and of closed
 * gates. No dump begins, as the module is going, and none goes on, as it would
 * hold it.
 */
static void __exit symp_exit(void)
{
	symp_device_exit();
	symp_owner_exit();
	symp_deaths_wait();
	symp_netlink_exit();
	symp_chores_exit();
	symp_call_exit();
	symp_program_exit();
	rcu_barrier();
}

module_init(symp_init);
module_exit(symp_exit);

MODULE_LICENSE("GPL");
MODULE_VERSION("0.1");
MODULE_DESCRIPTION("Symphony: the bus on which an application calls its extensions");
