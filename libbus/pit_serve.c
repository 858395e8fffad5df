// SPDX-License-Identifier: MIT
/* The Pit's members, for other processes. */
#include <signal.h>
#include <symphony/control.h>
#include <unistd.h>

#include "error.h"
#include "invocation.h"
#include "notice.h"
#include "pit.h"
#include "service.h"

static struct sbus_member *called(struct sbus_pit *pit, uint64_t handle)
{
	struct sbus_member *member;

	for (member = pit->first; member; member = member->next)
		if (member->handle == handle)
			return member;
	return NULL;
}

static int handle(struct sbus_message *request, void *userdata)
{
	const struct symphony_msg *msg = request->msg;
	struct sbus_member *member = called(userdata, msg->handle);
	struct sbus_error error = SBUS_ERROR_INIT;
	struct invocation call;
	yyjson_val *message;
	int r, reason;

	if (unlikely(!member))
		return sbus_reply_error(request, SBUS_CODE_INTERNAL, NULL,
					"the extension that was called is not served here any more");
	r = sbus_message_json(request, &message, &error);
	if (unlikely(r)) {
		sbus_reply_error(request, r == -EBADMSG ? SBUS_CODE_PARSE : SBUS_CODE_INVALID_REQUEST,
				 NULL, "\"%s\" takes JSON: %s", member->id,
				 sbus_error_message(&error));
		sbus_error_clear(&error);
		return 0;
	}
	invocation_init(&call, member);
	call.inv.sender = msg->sender;
	call.inv.pid = msg->pid;
	call.inv.uid = msg->uid;
	call.inv.gid = msg->gid;
	call.inv.deadline = msg->deadline;
	call.inv.id = msg->id;
	call.sink = (struct sink){ .request = request };
	r = invocation_call(&call, message);
	if (unlikely(call.completion != NULL)) {
		/* That can have been told when there was no completion to be found. */
		reason = notice_cancelled(request);
		if (reason)
			completion_cancel(call.completion, reason);
		completion_put(call.completion);
	}
	return r < 0 ? r : 0;
}

void member_leave_if_over(struct sbus_member *member)
{
	struct sbus_pit *pit = member->pit;

	if (!pit->leaves || !atomic_load(&member->over) || atomic_load(&member->nr_completions))
		return;
	pthread_mutex_lock(&pit->lock);
	if (pit->served)
		sbus_stop(pit->served);
	pthread_mutex_unlock(&pit->lock);
}

static void notice(const struct sbus_notice *notice, void *userdata)
{
	struct sbus_member *member = sbus_pit_lookup(userdata, notice->extension);

	if (!member)
		return;
	if (notice->type == SBUS_NOTICE_CANCELLED) {
		completion_cancel_call(member, notice->call, notice->reason);
	} else if (notice->type == SBUS_NOTICE_TAKEOVER) {
		atomic_store(&member->over, true);
		member_leave_if_over(member);
	}
}

/* The process that serves an id. */
struct rival {
	const char *id;
	uint64_t endpoint;	/* 0: nobody does */
	pid_t pid;
	uid_t uid;
};

static int see_replica(const struct sbus_replica_info *info, void *userdata)
{
	struct rival *rival = userdata;

	if (!rival->endpoint && !strcmp(info->service, rival->id))
		rival->endpoint = info->endpoint;
	return 0;
}

static int see_endpoint(const struct sbus_endpoint_info *info, void *userdata)
{
	struct rival *rival = userdata;

	if (info->id == rival->endpoint) {
		rival->pid = info->pid;
		rival->uid = info->uid;
	}
	return 0;
}

/* Claiming @id was refused. If another Pit serves it, the error names its process. */
static void name_rival(struct sbus *bus, const char *id, struct sbus_error *error)
{
	struct rival rival = { .id = id };
	struct sbus_control *control;
	const char *name = sbus_name(bus);

	if (!error || sbus_control_open(&control, NULL))
		return;
	if (!sbus_list_replicas(control, name, see_replica, &rival, NULL) && rival.endpoint)
		sbus_list_endpoints(control, name, see_endpoint, &rival, NULL);
	sbus_control_close(control);
	if (!rival.endpoint)
		return;
	sbus_error_set(error, -EPERM, "\"%s\" is served on bus \"%s\" already, by process %d of uid %u, as by another Conductor: end that one, take another bus, or only make calls",
		       id, name, rival.pid, rival.uid);
	error_extension(error, id);
}

/* The creator of the bus lets the member be claimed by another connection. */
static int claim_granted(struct sbus *bus, const struct sbus_member *member,
			 struct sbus_error *error)
{
	struct sbus_claim_params params = { .size = sizeof(params), .flags = SBUS_CLAIM_GRANT };
	int r;

	r = sbus_grant(member->pit->creator, member->id, error);
	if (r < 0)
		return r;
	params.grant = r;
	r = sbus_claim_with(bus, member->id, &params, error);
	close(params.grant);
	return r;
}

static int claim(struct sbus *bus, struct sbus_member *member,
		 const struct sbus_claim_params *params, struct sbus_error *error)
{
	struct sbus *creator = member->pit->creator;
	int r;

	r = creator && sbus_is_creator(creator) ?
		    claim_granted(bus, member, error) :
		    sbus_claim_with(bus, member->id, params, error);
	if (r == -EPERM && creator)
		name_rival(bus, member->id, error);
	if (r)
		return r;
	bus_lock(bus);
	member->handle = service_find_locked(bus, member->id)->handle;
	bus_unlock(bus);
	return 0;
}

static void set_served(struct sbus_pit *pit, struct sbus *bus)
{
	pthread_mutex_lock(&pit->lock);
	pit->served = bus;
	pthread_mutex_unlock(&pit->lock);
}

int pit_serve_begin(struct sbus_pit *pit, struct sbus *bus, const struct sbus_claim_params *params,
		    struct sbus_error *error)
{
	struct sbus_member *member;
	int r = 0;

	if (pit_is_foreign(pit))
		return pit_foreign(error);
	if (!pit->started)
		return sbus_error_set(error, -EINVAL, "the Pit is not started: start it, then serve");
	if (pit->served)
		return sbus_error_set(error, -EBUSY, "the Pit serves bus \"%s\" already",
				      sbus_name(pit->served));
	sbus_set_handler(bus, handle, pit);
	sbus_set_notice_handler(bus, notice, pit);
	set_served(pit, sbus_ref(bus));
	for (member = pit->first; member && !r; member = member->next)
		r = claim(bus, member, params, error);
	if (r)
		pit_serve_end(pit);
	return r;
}

void pit_serve_end(struct sbus_pit *pit)
{
	struct sbus *bus = pit->served;
	struct sbus_member *member;

	for (member = pit->first; member; member = member->next)
		if (member->handle)
			sbus_unclaim(bus, member->id);
	/* Callers whose requests are queued already get their answers. */
	while (sbus_process(bus) > 0)
		;
	for (member = pit->first; member; member = member->next)
		member->handle = 0;
	set_served(pit, NULL);
	sbus_set_handler(bus, NULL, NULL);
	sbus_set_notice_handler(bus, NULL, NULL);
	sbus_unref(bus);
}

static void *server_main(void *arg)
{
	struct sbus_pit *pit = arg;
	struct sbus_serve_params params = {
		.size = sizeof(params),
		.threads = pit->threads,
	};

	sbus_serve(pit->served, &params, NULL);
	return NULL;
}

SBUS_API int sbus_pit_serve(struct sbus_pit *pit, struct sbus *bus, unsigned int threads,
			    struct sbus_error *error)
{
	sigset_t all, old;
	int r;

	r = pit_serve_begin(pit, bus, NULL, error);
	if (r)
		return r;
	pit->threads = threads;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&pit->server, NULL, server_main, pit);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r) {
		pit_serve_end(pit);
		return sbus_error_set(error, r, "no thread to serve the Pit with: %s",
				      error_text(r));
	}
	pit->has_server = true;
	return 0;
}
