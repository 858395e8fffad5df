// SPDX-License-Identifier: MIT
/*
 * pool_manager: named pools of memory, the models in them and leases on both;
 * the methods and the descriptor. docs/pool_manager.md tells its users.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "pool_methods.h"

static void cancelled(void *self, struct sbus_completion *completion,
		      int reason)
{
	(void)self;
	pm_lease_cancel(sbus_completion_data(completion), reason);
}

static void gone(void *self, uint64_t endpoint)
{
	struct pm *pm = self;
	struct pit_held *held;

	while ((held = pit_holder_first(&pm->holders, endpoint)))
		pm_lease_reclaim(pit_container_of(held, struct pm_lease, held));
}

/* Also of what init() left half made. Nothing is owed any more. */
static void fini(void *self)
{
	struct pm *pm = self;
	struct pit_list *pos;

	pit_list_for_each(pos, &pm->pool_list) {
		struct pm_pool *pool =
			pit_container_of(pos, struct pm_pool, link);

		while (!pit_list_empty(&pool->leases))
			pm_lease_free(pit_container_of(pool->leases.next,
						       struct pm_lease,
						       in_pool));
	}
	while (!pit_list_empty(&pm->pool_list))
		pm_pool_free(pit_container_of(pm->pool_list.next,
					      struct pm_pool, link));
	pit_holders_deinit(&pm->holders);
	pit_map_deinit(&pm->leases);
	pit_map_deinit(&pm->models);
	pit_map_deinit(&pm->pools);
	free(pm);
}

/* The machine's memory in MiB: a limit that means something unasked. */
static uint64_t default_capacity(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	if (pages <= 0 || size <= 0)
		return 1024;
	return ((uint64_t)pages * (uint64_t)size >> 20) ?: 1;
}

static int init(struct sbus_member *member, yyjson_val *config, void **self,
		struct sbus_error *error)
{
	yyjson_val *capacity = yyjson_obj_get(config, "capacity");
	uint64_t units = default_capacity();
	struct pm_pool *pool;
	struct pm *pm;
	int ret;

	ret = PIT_CONFIG_KNOWN("pool_manager", config, error, "capacity");
	if (ret)
		return ret;
	if (capacity) {
		units = yyjson_get_uint(capacity);
		if (!yyjson_is_uint(capacity) || !units || units > PIT_UINT_MAX)
			return sbus_error_set(error, -EINVAL,
					      "pool_manager: config 'capacity': expected an integer from 1 to %llu",
					      PIT_UINT_MAX);
	}
	pm = calloc(1, sizeof(*pm));
	if (!pm)
		return -ENOMEM;
	pm->member = member;
	pit_list_init(&pm->pool_list);
	ret = pit_map_init(&pm->pools, 0);
	if (!ret)
		ret = pit_map_init(&pm->models, 0);
	if (!ret)
		ret = pit_map_init(&pm->leases, 0);
	if (!ret)
		ret = pit_holders_init(&pm->holders, member);
	if (!ret)
		ret = pm_pool_new(pm, PM_DEFAULT_POOL, units, &pool);
	if (ret) {
		fini(pm);
		return ret;
	}
	*self = pm;
	return 0;
}

#define NAME "{\"type\":\"string\",\"minLength\":1,\"maxLength\":255}"
#define COUNT(min) "{\"type\":\"integer\",\"minimum\":" #min \
	",\"maximum\":9007199254740991}"
#define MS "{\"type\":\"integer\",\"minimum\":0,\"maximum\":31622400000}"
#define LIMIT "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000," \
	"\"default\":1000}"
#define PARAMS(required, properties) \
	"{\"type\":\"object\",\"properties\":{" properties "}," \
	"\"required\":[" required "],\"additionalProperties\":false}"
#define OBJECT "{\"type\":\"object\"}"
#define ARRAY(of) "{\"type\":\"array\",\"items\":{\"type\":\"" of "\"}}"

static const struct symphony_method methods[] = {
	{
		.name = "acquire",
		.summary = "lease a model, or units of a pool; waits its turn",
		.params = PARAMS("", "\"model\":" NAME ",\"pool\":" NAME
			",\"units\":" COUNT(0) ",\"size\":" COUNT(1)
			",\"timeout_ms\":" MS
			",\"wait_hot\":{\"type\":\"boolean\",\"default\":false}"),
		.result = OBJECT,
		.fn = pm_do_acquire,
	}, {
		.name = "release",
		.summary = "give a lease back",
		.params = PARAMS("\"lease\"", "\"lease\":" COUNT(1)),
		.result = OBJECT,
		.fn = pm_do_release,
	}, {
		.name = "report",
		.summary = "say that a model is hot, failed or cold",
		.params = PARAMS("\"model\",\"state\"", "\"model\":" NAME
			",\"state\":{\"enum\":[\"cold\",\"hot\",\"failed\"]}"
			",\"lease\":" COUNT(1) ",\"reason\":" NAME),
		.result = OBJECT,
		.fn = pm_do_report,
	}, {
		.name = "create_pool",
		.summary = "make a pool",
		.params = PARAMS("\"pool\",\"capacity\"", "\"pool\":" NAME
			",\"capacity\":" COUNT(1)),
		.result = OBJECT,
		.fn = pm_do_create_pool,
	}, {
		.name = "resize_pool",
		.summary = "change a pool's capacity",
		.params = PARAMS("\"pool\",\"capacity\"", "\"pool\":" NAME
			",\"capacity\":" COUNT(1)),
		.result = OBJECT,
		.fn = pm_do_resize_pool,
	}, {
		.name = "delete_pool",
		.summary = "remove a pool without leases, and its models",
		.params = PARAMS("\"pool\"", "\"pool\":" NAME),
		.result = "{\"type\":\"null\"}",
		.fn = pm_do_delete_pool,
	}, {
		.name = "pools",
		.summary = "the names of the pools",
		.params = PARAMS("", ""),
		.result = ARRAY("string"),
		.fn = pm_do_pools,
	}, {
		.name = "stat",
		.summary = "a pool's room and counters",
		.params = PARAMS("", "\"pool\":" NAME),
		.result = OBJECT,
		.fn = pm_do_stat_pool,
	}, {
		.name = "define_model",
		.summary = "say how large a model is and where it lives",
		.params = PARAMS("\"model\"", "\"model\":" NAME
			",\"size\":" COUNT(1) ",\"pool\":" NAME
			",\"cool_ms\":" MS),
		.result = OBJECT,
		.fn = pm_do_define_model,
	}, {
		.name = "forget_model",
		.summary = "remove a model that is cold or failed",
		.params = PARAMS("\"model\"", "\"model\":" NAME),
		.result = "{\"type\":\"null\"}",
		.fn = pm_do_forget_model,
	}, {
		.name = "stat_model",
		.summary = "a model's state and counters",
		.params = PARAMS("\"model\"", "\"model\":" NAME),
		.result = OBJECT,
		.fn = pm_do_stat_model,
	}, {
		.name = "models",
		.summary = "the models of a pool, a page at a time",
		.params = PARAMS("", "\"pool\":" NAME ",\"after\":" NAME
			",\"limit\":" LIMIT),
		.result = ARRAY("object"),
		.fn = pm_do_models,
	}, {
		.name = "leases",
		.summary = "the leases on a pool, a page at a time",
		.params = PARAMS("", "\"pool\":" NAME ",\"after\":" COUNT(1)
			",\"limit\":" LIMIT),
		.result = ARRAY("object"),
		.fn = pm_do_leases,
	},
	{}
};

static const struct symphony_extension pool_manager = {
	SYMPHONY_EXTENSION_INIT,
	.name = "pool_manager",
	.version = "1",
	.summary = "memory pools, models and leases",
	.methods = methods,
	.init = init,
	.fini = fini,
	.cancelled = cancelled,
	.gone = gone,
};

SYMPHONY_EXTENSION(pool_manager);
