// SPDX-License-Identifier: MIT
/* What there is on the buses, and what happens there. */
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <symphony/control.h>

#include "kselftest_harness.h"

#include "common.h"

FIXTURE(control)
{
	struct sbus *bus;
	struct sbus_control *control;
	struct sbus_error error;
};

FIXTURE_SETUP(control)
{
	self->bus = test_open();
	ASSERT_NE(NULL, self->bus);
	ASSERT_EQ(0, sbus_control_open(&self->control, NULL));
	self->error = (struct sbus_error)SBUS_ERROR_INIT;
}

FIXTURE_TEARDOWN(control)
{
	sbus_error_clear(&self->error);
	sbus_control_close(self->control);
	sbus_unref(self->bus);
}

/* The last of what was told, without what it points to, and its name. */
struct told {
	int nr, r;
	char name[SBUS_NAME_MAX + 1];
	struct sbus_bus_info bus;
	struct sbus_endpoint_info endpoint;
	struct sbus_service_info service;
	struct sbus_replica_info replica;
};

static int on_bus(const struct sbus_bus_info *info, void *userdata)
{
	struct told *told = userdata;

	told->nr++;
	told->bus = *info;
	strcpy(told->name, info->name);
	return told->r;
}

static int on_endpoint(const struct sbus_endpoint_info *info, void *userdata)
{
	struct told *told = userdata;

	told->nr++;
	told->endpoint = *info;
	strcpy(told->name, info->bus);
	return told->r;
}

static int on_service(const struct sbus_service_info *info, void *userdata)
{
	struct told *told = userdata;

	told->nr++;
	told->service = *info;
	strcpy(told->name, info->name);
	return told->r;
}

static int on_replica(const struct sbus_replica_info *info, void *userdata)
{
	struct told *told = userdata;

	told->nr++;
	told->replica = *info;
	strcpy(told->name, info->service);
	return told->r;
}

static int on_program(const struct sbus_program_info *info, void *userdata)
{
	struct told *told = userdata;

	told->nr += info->size == sizeof(*info);
	return told->r;
}

TEST_F(control, lists_a_bus_and_its_endpoints)
{
	struct told told = { 0 };

	ASSERT_EQ(0, sbus_list_buses(self->control, test_bus(), on_bus, &told, &self->error));
	EXPECT_EQ(1, told.nr);
	EXPECT_EQ(sizeof(told.bus), told.bus.size);
	EXPECT_STREQ(test_bus(), told.name);
	EXPECT_EQ(sbus_endpoint(self->bus), told.bus.id);
	EXPECT_EQ(geteuid(), told.bus.uid);
	EXPECT_EQ(getegid(), told.bus.gid);
	EXPECT_EQ(0600, told.bus.mode);
	EXPECT_EQ(1, told.bus.nr_endpoints);
	EXPECT_EQ(0, told.bus.nr_services);

	told = (struct told){ 0 };
	ASSERT_EQ(0, sbus_list_endpoints(self->control, test_bus(), on_endpoint, &told,
					 &self->error));
	EXPECT_EQ(1, told.nr);
	EXPECT_STREQ(test_bus(), told.name);
	EXPECT_EQ(sbus_endpoint(self->bus), told.endpoint.id);
	EXPECT_EQ(sbus_endpoint(self->bus), told.endpoint.bus_id);
	EXPECT_EQ(getpid(), told.endpoint.pid);
	EXPECT_EQ(geteuid(), told.endpoint.uid);
	EXPECT_LT(0, told.endpoint.pool_size);
	EXPECT_GE(told.endpoint.pool_size, told.endpoint.pool_used);
	EXPECT_EQ(0, told.endpoint.queued + told.endpoint.load + told.endpoint.calls);
}

TEST_F(control, lists_services_and_replicas)
{
	struct told told = { 0 };

	ASSERT_EQ(0, sbus_claim(self->bus, "svc", NULL));
	ASSERT_EQ(0, sbus_list_services(self->control, test_bus(), on_service, &told,
					&self->error));
	EXPECT_EQ(1, told.nr);
	EXPECT_STREQ("svc", told.name);
	EXPECT_EQ(geteuid(), told.service.uid);
	EXPECT_EQ(1, told.service.nr_replicas);
	EXPECT_EQ(0, told.service.activator);
	EXPECT_FALSE(told.service.reserved);

	told = (struct told){ 0 };
	ASSERT_EQ(0, sbus_list_replicas(self->control, test_bus(), on_replica, &told,
					&self->error));
	EXPECT_EQ(1, told.nr);
	EXPECT_STREQ("svc", told.name);
	EXPECT_EQ(sbus_endpoint(self->bus), told.replica.endpoint);
	EXPECT_FALSE(told.replica.draining);

	told = (struct told){ 0 };
	EXPECT_EQ(0, sbus_list_programs(self->control, test_bus(), on_program, &told,
					&self->error));
	EXPECT_EQ(0, told.nr);
}

TEST_F(control, lists_all_buses_without_a_name)
{
	struct told told = { 0 };

	EXPECT_EQ(0, sbus_list_buses(self->control, NULL, on_bus, &told, NULL));
	EXPECT_LE(1, told.nr);
	told.nr = 0;
	EXPECT_EQ(0, sbus_list_buses(self->control, "nobodys", on_bus, &told, NULL));
	EXPECT_EQ(0, told.nr);
	EXPECT_EQ(-EINVAL, sbus_list_buses(self->control, "Not a name", on_bus, &told,
					   &self->error));
	EXPECT_EQ(-EINVAL, self->error.error);
	EXPECT_NE(NULL, strstr(sbus_error_message(&self->error), "Not a name"));
}

TEST_F(control, callback_ends_a_list_and_the_next_one_works)
{
	struct sbus *others[100];
	struct told told = { .r = -ECANCELED };
	struct sbus_params params = {
		.size = sizeof(params), .bus = test_bus(), .pool_size = 64 << 10,
	};

	for (int i = 0; i < 100; i++)
		ASSERT_EQ(0, sbus_open(&others[i], &params, NULL));
	EXPECT_EQ(-ECANCELED, sbus_list_endpoints(self->control, test_bus(), on_endpoint,
						  &told, &self->error));
	EXPECT_EQ(1, told.nr);
	EXPECT_EQ(0, self->error.error);
	told = (struct told){ .r = 7 };
	EXPECT_EQ(7, sbus_list_endpoints(self->control, test_bus(), on_endpoint, &told, NULL));
	told = (struct told){ 0 };
	EXPECT_EQ(0, sbus_list_endpoints(self->control, test_bus(), on_endpoint, &told, NULL));
	EXPECT_EQ(101, told.nr);
	for (int i = 0; i < 100; i++)
		sbus_unref(others[i]);
}

TEST_F(control, leaves_errno_alone)
{
	struct sbus_control *control;
	struct told told = { 0 };

	errno = EXDEV;
	ASSERT_EQ(0, sbus_control_open(&control, NULL));
	EXPECT_EQ(0, sbus_list_buses(control, NULL, on_bus, &told, NULL));
	sbus_control_close(control);
	EXPECT_EQ(NULL, sbus_control_close(NULL));
	EXPECT_EQ(EXDEV, errno);
}

/* --- events ------------------------------------------------------------------ */

struct seen {
	int nr, r;
	uint32_t types[16];
	uint64_t endpoints[16];
	bool activators[16];
};

/* Of the test's bus only. */
static int on_event(const struct sbus_event *event, void *userdata)
{
	struct seen *seen = userdata;
	const char *bus = event->bus ? event->bus->name :
			  event->endpoint ? event->endpoint->bus :
			  event->replica ? event->replica->bus : "";

	if (strcmp(bus, test_bus()) || seen->nr == 16)
		return 0;
	seen->types[seen->nr] = event->type;
	seen->activators[seen->nr] = event->activator;
	if (event->endpoint)
		seen->endpoints[seen->nr] = event->endpoint->id;
	if (event->replica)
		seen->endpoints[seen->nr] = event->replica->endpoint;
	seen->nr++;
	return seen->r;
}

TEST_F(control, monitor_tells_what_happens)
{
	static const uint32_t types[] = {
		SBUS_EVENT_ENDPOINT_JOINED, SBUS_EVENT_CLAIMED, SBUS_EVENT_UNCLAIMED,
		SBUS_EVENT_ENDPOINT_DIED, SBUS_EVENT_ENDPOINT_DIED, SBUS_EVENT_BUS_GONE,
	};
	struct sbus_monitor *monitor;
	struct seen seen = { 0 };
	struct pollfd pfd = { .events = POLLIN };
	struct sbus *other;
	uint64_t id;

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, sbus_monitor_open(&monitor, &self->error));
	EXPECT_EQ(0, sbus_monitor_process(monitor, on_event, &seen));
	pfd.fd = sbus_monitor_get_fd(monitor);
	EXPECT_EQ(0, poll(&pfd, 1, 0));
	other = test_open();
	ASSERT_NE(NULL, other);
	EXPECT_EQ(1, poll(&pfd, 1, 10000));
	id = sbus_endpoint(other);
	ASSERT_EQ(0, sbus_claim(other, "svc", NULL));
	sbus_unref(other);
	self->bus = sbus_unref(self->bus);
	EXPECT_LE(6, sbus_monitor_process(monitor, on_event, &seen));
	ASSERT_EQ(6, seen.nr);
	for (int i = 0; i < 6; i++)
		EXPECT_EQ(types[i], seen.types[i]);
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(id, seen.endpoints[i]);
	sbus_monitor_close(monitor);
}

TEST_F(control, monitor_goes_on_behind_a_callback_that_fails)
{
	struct seen seen = { .r = -ECANCELED };
	struct sbus_monitor *monitor;
	int told = 0;

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, sbus_monitor_open(&monitor, &self->error));
	ASSERT_EQ(0, sbus_claim(self->bus, "svc", NULL));
	ASSERT_EQ(0, sbus_claim(self->bus, "other", NULL));
	while (sbus_monitor_process(monitor, on_event, &seen) == -ECANCELED)
		told++;
	EXPECT_EQ(2, told);
	EXPECT_EQ(2, seen.nr);
	EXPECT_EQ(NULL, sbus_monitor_close(monitor));
	EXPECT_EQ(NULL, sbus_monitor_close(NULL));
}

TEST_F(control, monitor_says_that_events_were_lost)
{
	struct seen seen = { 0 };
	struct sbus_monitor *monitor;
	int r;

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, sbus_monitor_open(&monitor, &self->error));
	for (int i = 0; i < 2000; i++) {
		ASSERT_EQ(0, sbus_claim(self->bus, "svc", NULL));
		ASSERT_EQ(0, sbus_unclaim(self->bus, "svc"));
	}
	EXPECT_EQ(-ENOBUFS, sbus_monitor_process(monitor, on_event, &seen));
	/* What was not lost is there, and what comes. */
	r = sbus_monitor_process(monitor, on_event, &seen);
	EXPECT_LT(0, r);
	EXPECT_GT(4000, r);
	ASSERT_EQ(0, sbus_claim(self->bus, "svc", NULL));
	EXPECT_EQ(1, sbus_monitor_process(monitor, on_event, &seen));
	sbus_monitor_close(monitor);
}

TEST_F(control, monitor_is_for_the_privileged)
{
	struct sbus_monitor *monitor;

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, seteuid(1001));
	EXPECT_EQ(-EPERM, sbus_monitor_open(&monitor, &self->error));
	EXPECT_EQ(-EPERM, self->error.error);
	EXPECT_NE(NULL, strstr(sbus_error_message(&self->error), "CAP_NET_ADMIN"));
	ASSERT_EQ(0, seteuid(0));
}

TEST_HARNESS_MAIN
