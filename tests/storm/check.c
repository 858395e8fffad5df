// SPDX-License-Identifier: MIT
/*
 * The checker: each call has exactly one outcome, and it is the right one.
 *
 * For each call, from all that its maker, its receivers and others wrote of it:
 *  - it was refused, and then nobody saw it; or it has one outcome, or none if its
 *    maker's endpoint ended first.
 *  - it was received as it was made: length, hash, sender, the sender's pid and
 *    uid. Once; again only if it may be done twice and who had it before is dead.
 *  - a reply was made for this very call, by who is named as its sender, with this
 *    length and hash; and arrived where the call was made.
 *  - who was told that its answer was taken, alone, is the one whose answer came.
 *  - an outcome that the kernel made has a cause: a deadline, a cancel that was
 *    told to have worked (which in turn has this outcome), the end of the process
 *    that had the call, an answer too large by so much.
 *  - its id is its own.
 *  - as many files came as were sent; who claimed them has those of this message, and
 *    has them once.
 * A one-way message has no outcome. It was received once, or not at all if it had a
 * deadline, or went to a service whose replicas can end (a move can fail, too).
 * And of each watch: a notice if the target ended, one, and none if it did not.
 *
 * A process that was killed may have done more than it wrote: one step. So what
 * is missing counts only where the writer lived.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "check.h"
#include "dice.h"

struct endpoint {
	__u64 id, process, uid;
	__u32 pid;
	bool ended, final;
};

struct pair {
	__u64 key, value;
};

/* All that is known besides the records by tag. */
struct check {
	FILE *out;
	struct tally *tally;
	struct endpoint *endpoints;
	size_t nr_endpoints;
	__u64 *killed;		/* processes */
	size_t nr_killed;
	const struct record **cancels;	/* and what came of them, by id */
	size_t nr_cancels;
	const struct record **notices;	/* CANCELLED, by id */
	size_t nr_notices;
	struct pair *ids;	/* call id, tag */
	size_t nr_ids;
};

#define TOLD_MAX	40

static void wrong(struct check *check, const struct record *record, const char *format, ...)
{
	va_list args;

	if (check->tally->faults++ >= TOLD_MAX || !check->out)
		return;
	fprintf(check->out, "# call %#llx: ", record->tag);
	va_start(args, format);
	vfprintf(check->out, format, args);
	va_end(args);
	fprintf(check->out, " (type %d, by %#x, err %d, id %llu, own %llu, other %llu)\n",
		record->type, record->who, record->err, record->id, record->own, record->ep);
}

/* --- what there is --- */

static int by_tag(const void *a, const void *b)
{
	const struct record *const *x = a, *const *y = b;

	if ((*x)->tag != (*y)->tag)
		return (*x)->tag < (*y)->tag ? -1 : 1;
	return (int)(*x)->type - (int)(*y)->type;
}

static int by_id(const void *a, const void *b)
{
	const struct record *const *x = a, *const *y = b;

	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

static int by_key(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->value < y->value ? -1 : x->value > y->value;
}

/* All begin with their key. */
static int by_u64(const void *a, const void *b)
{
	const __u64 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static struct endpoint *endpoint_of(struct check *check, __u64 id)
{
	return bsearch(&id, check->endpoints, check->nr_endpoints,
		       sizeof(*check->endpoints), by_u64);
}

static bool was_killed(struct check *check, const struct endpoint *ep)
{
	return bsearch(&ep->process, check->killed, check->nr_killed, sizeof(__u64), by_u64);
}

/* Did it end before the storm did? */
static bool has_ended(struct check *check, __u64 id)
{
	struct endpoint *ep = endpoint_of(check, id);

	return ep && ((ep->ended && !ep->final) || was_killed(check, ep));
}

/* Or with it? */
static bool is_gone(struct check *check, __u64 id)
{
	struct endpoint *ep = endpoint_of(check, id);

	return ep && (ep->ended || was_killed(check, ep));
}

/* A CANCELLED notice for @id at @own. */
static const struct record *notice_of(struct check *check, __u64 id, __u64 own)
{
	size_t from = 0, to = check->nr_notices;

	while (from < to) {
		size_t half = (from + to) / 2;

		if (check->notices[half]->id < id)
			from = half + 1;
		else
			to = half;
	}
	for (; from < check->nr_notices && check->notices[from]->id == id; from++)
		if (check->notices[from]->own == own)
			return check->notices[from];
	return NULL;
}

/* Which of the CANCELs of @id one looks for. */
enum cancel { WORKED, UNKNOWN };

static bool was_cancelled(struct check *check, __u64 id, enum cancel wanted)
{
	struct record key = { .id = id };
	const struct record *at = &key, **first, **end = check->cancels + check->nr_cancels;
	bool worked = false;
	int open = 0;

	first = id ? bsearch(&at, check->cancels, check->nr_cancels, sizeof(at), by_id) : NULL;
	if (!first)
		return false;
	while (first > check->cancels && first[-1]->id == id)
		first--;
	for (; first < end && (*first)->id == id; first++) {
		open += (*first)->type == R_CANCELLING ? 1 : -1;
		worked |= (*first)->type == R_CANCEL && !(*first)->err;
	}
	return wanted == WORKED ? worked : open > 0;
}

static void gather(struct check *check, const struct record **records, size_t nr)
{
	check->endpoints = calloc(nr + 1, sizeof(*check->endpoints));
	check->killed = calloc(nr + 1, sizeof(*check->killed));
	check->cancels = calloc(nr + 1, sizeof(*check->cancels));
	check->notices = calloc(nr + 1, sizeof(*check->notices));
	check->ids = calloc(nr + 1, sizeof(*check->ids));
	if (!check->notices || !check->endpoints || !check->killed || !check->cancels || !check->ids)
		abort();
	for (size_t i = 0; i < nr; i++) {
		const struct record *r = records[i];

		if (r->type == R_ENDPOINT)
			check->endpoints[check->nr_endpoints++] = (struct endpoint){
				.id = r->own, .process = r->id, .uid = r->aux, .pid = r->pid,
			};
		else if (r->type == R_KILL)
			check->killed[check->nr_killed++] = r->id;
		else if (r->type == R_CANCELLING || r->type == R_CANCEL)
			check->cancels[check->nr_cancels++] = r;
		else if (r->type == R_CANCELLED)
			check->notices[check->nr_notices++] = r;
		else if (r->tag && r->id && r->type != R_MADE)
			check->ids[check->nr_ids++] = (struct pair){ r->id, r->tag };
	}
	qsort(check->endpoints, check->nr_endpoints, sizeof(*check->endpoints), by_u64);
	qsort(check->killed, check->nr_killed, sizeof(*check->killed), by_u64);
	qsort(check->cancels, check->nr_cancels, sizeof(*check->cancels), by_id);
	qsort(check->notices, check->nr_notices, sizeof(*check->notices), by_id);
	for (size_t i = 0; i < nr; i++) {
		const struct record *r = records[i];
		struct endpoint *ep = r->type == R_END ? endpoint_of(check, r->own) : NULL;

		if (r->type == R_END && !ep) {
			wrong(check, r, "the end of no endpoint");
		} else if (ep) {
			ep->ended = true;
			ep->final = r->flags & F_FINAL;
			check->tally->ends++;
		} else if (r->type == R_FAULT) {
			wrong(check, r, "a fault in line %u, %#llx", r->len, r->aux);
		}
	}
	check->tally->endpoints = check->nr_endpoints;
	check->tally->kills = check->nr_killed;
}

/* An id names one call, a call has one id. */
static void check_ids(struct check *check)
{
	struct pair *ids = check->ids;

	for (int pass = 0; pass < 2; pass++) {
		qsort(ids, check->nr_ids, sizeof(*ids), by_key);
		for (size_t i = 1; i < check->nr_ids; i++) {
			struct record r = { .tag = ids[i].value, .id = ids[i].key };

			if (ids[i].key == ids[i - 1].key && ids[i].value != ids[i - 1].value)
				wrong(check, &r, pass ? "a call with two ids, or an id" :
				      "an id of two calls, of %#llx too", ids[i - 1].value);
		}
		for (size_t i = 0; i < check->nr_ids; i++)
			ids[i] = (struct pair){ ids[i].value, ids[i].key };
	}
	for (size_t i = 1; i < check->nr_notices; i++) {
		const struct record *one = check->notices[i - 1], *two = check->notices[i];

		if (one->id == two->id && one->own == two->own)
			wrong(check, two, "two CANCELLED notices");
	}
	for (size_t i = 1; i < check->nr_endpoints; i++) {
		struct record r = { .own = check->endpoints[i].id };

		if (r.own == check->endpoints[i - 1].id)
			wrong(check, &r, "an endpoint's id came twice");
	}
}

/* --- one call --- */

struct call {
	const struct record *made, *refused, *sent, *outcome;
	const struct record **received, **answer, **answered, **claimed;
	int nr_made, nr_refused, nr_sent, nr_outcome, nr_received, nr_answer, nr_answered;
	int nr_taken, nr_room, nr_claimed;
	const struct record *taken;	/* whose answer it was, as it was told */
	const struct record *room;
};

static struct call call_of(const struct record **r, size_t nr)
{
	struct call call = {};

	for (size_t i = 0; i < nr; i++) {
		switch (r[i]->type) {
		case R_MADE: call.nr_made++; call.made = r[i]; break;
		case R_REFUSED: call.nr_refused++; call.refused = r[i]; break;
		case R_SENT: call.nr_sent++; call.sent = r[i]; break;
		case R_OUTCOME: call.nr_outcome++; call.outcome = r[i]; break;
		/* Sorted by type: each kind begins with its first. */
		case R_RECEIVED: if (!call.nr_received++) call.received = &r[i]; break;
		case R_ANSWER: if (!call.nr_answer++) call.answer = &r[i]; break;
		case R_ANSWERED:
			if (!call.nr_answered++)
				call.answered = &r[i];
			if (!r[i]->err) {
				call.nr_taken++;
				call.taken = r[i];
			}
			break;
		case R_ROOM: call.nr_room++; call.room = r[i]; break;
		case R_CLAIMED: if (!call.nr_claimed++) call.claimed = &r[i]; break;
		}
	}
	return call;
}

static void check_received(struct check *check, struct call *call)
{
	const struct record *made = call->made;
	struct endpoint *sender = endpoint_of(check, made->own);

	for (int i = 0; i < call->nr_received; i++) {
		const struct record *r = call->received[i];

		check->tally->received++;
		if (r->len != made->len || r->hash != made->hash)
			wrong(check, r, "received with other bytes: %u, %u were sent", r->len,
			      made->len);
		if (r->files != made->files)
			wrong(check, r, "received with %u files of %u", r->files, made->files);
		if (r->ep != made->own)
			wrong(check, r, "received from another sender than %llu", made->own);
		else if (sender && (r->pid != sender->pid || r->aux != sender->uid))
			wrong(check, r, "its sender is pid %u, not %u, uid %llu, not %llu",
			      r->pid, sender->pid, r->aux, sender->uid);
		if (!endpoint_of(check, r->own))
			wrong(check, r, "received by no endpoint");
	}
	if (call->nr_received > 1) {
		int living = 0;

		check->tally->twice++;
		if (!(made->flags & F_TWICE))
			wrong(check, call->received[1], "received %d times, and may not be",
			      call->nr_received);
		for (int i = 0; i < call->nr_received; i++)
			living += !has_ended(check, call->received[i]->own);
		if (living > 1)
			wrong(check, call->received[1], "received again while %d have it",
			      living);
	}
}

static void check_reply(struct check *check, struct call *call)
{
	const struct record *outcome = call->outcome, *mine = NULL;

	for (int i = 0; i < call->nr_answer; i++) {
		const struct record *r = call->answer[i];

		if (r->own == outcome->ep && r->len == outcome->len &&
		    r->hash == outcome->hash && r->files == outcome->files &&
		    (r->flags & F_ERROR) == (outcome->flags & F_ERROR))
			mine = r;
	}
	check->tally->replies++;
	check->tally->errors += !!(outcome->flags & F_ERROR);
	if (!mine)
		wrong(check, outcome, "a reply of %u bytes that nobody made", outcome->len);
	else if (call->nr_taken ? call->taken->own != mine->own :
		 !has_ended(check, mine->own))
		wrong(check, outcome, "a reply whose maker was not told that it was taken");
}

/* Who may have had the call is dead. */
static bool lost_its_server(struct check *check, struct call *call)
{
	for (int i = 0; i < call->nr_received; i++)
		if (!has_ended(check, call->received[i]->own))
			return false;
	return call->nr_received || check->nr_killed || check->tally->ends;
}

static bool was_too_large(struct call *call)
{
	__u32 needed = call->outcome->len;

	/* The request itself, on its way to another replica. */
	if (!needed)
		return !call->nr_answered;
	for (int i = 0; i < call->nr_answer; i++)
		if (call->answer[i]->len == needed)
			return true;
	return false;
}

static void check_kernels(struct check *check, struct call *call)
{
	const struct record *made = call->made, *outcome = call->outcome;
	struct tally *tally = check->tally;
	bool caused;

	switch (outcome->err) {
	case -ETIME:
	case -ETIMEDOUT:
		tally->timeouts++;
		caused = made->flags & (F_DEADLINE | F_PARENT);
		break;
	case -ECANCELED:
		tally->cancels++;
		/* Who cancels can be killed before it tells what came of it. */
		caused = made->flags & F_PARENT ||
			 was_cancelled(check, outcome->id, WORKED) ||
			 was_cancelled(check, outcome->id, UNKNOWN);
		break;
	case -ECONNABORTED:
	case -ECONNRESET:
		tally->resets++;
		caused = lost_its_server(check, call);
		break;
	case -ECONNREFUSED:
		tally->refusals++;
		/* Also of one that was issued again. */
		caused = !call->nr_received || made->flags & F_TWICE;
		break;
	case -EMSGSIZE:
		tally->too_large++;
		caused = was_too_large(call);
		break;
	default:
		caused = false;
	}
	if (!caused)
		wrong(check, outcome, "an outcome without a cause");
	if (call->nr_received && (outcome->err == -ETIME || outcome->err == -ECONNABORTED))
		wrong(check, outcome, "received, and the outcome says that it was not");
	if (outcome->ep || outcome->flags & F_ERROR)
		wrong(check, outcome, "an outcome of the kernel's with a sender");
	if (call->nr_taken)
		wrong(check, call->taken, "an answer was taken, and the outcome is %d",
		      outcome->err);
}

static void check_outcome(struct check *check, struct call *call)
{
	const struct record *outcome = call->outcome;

	check->tally->outcomes++;
	if (outcome->own != call->made->own)
		wrong(check, outcome, "an outcome that came to another caller than %llu",
		      call->made->own);
	if (!outcome->err)
		check_reply(check, call);
	else
		check_kernels(check, call);
	if (call->nr_taken && notice_of(check, outcome->id, call->taken->own))
		wrong(check, call->taken, "answered, and said to be cancelled");
	if (outcome->err != -ECANCELED && was_cancelled(check, outcome->id, WORKED))
		wrong(check, outcome, "cancelled, and another outcome");
}

/* Then there may have been no room, and no time left to say so. */
static bool timed_out(const struct call *call)
{
	const __u8 late = F_ONEWAY | F_DEADLINE;

	if ((call->made->flags & late) == late)
		return true;
	return call->outcome && (call->outcome->err == -ETIMEDOUT || call->outcome->err == -ETIME);
}

/* It asked for the notice, and had an outcome before it could say that it has no room. */
static bool ended_without_room(const struct call *call)
{
	return timed_out(call) || (call->made->flags & F_PARENT && call->outcome &&
				   call->outcome->err == -ECANCELED);
}

/* Of a request or an answer: who claimed it may. */
static void check_claim(struct check *check, struct call *call, const struct record *r)
{
	bool answer = r->flags & F_ANSWER, known = false;
	int sent = answer ? 0 : call->made->files;
	__u64 hash = 0;

	if (!answer) {
		known = r->ep == call->made->own;
	} else if (call->outcome) {
		known = r->own == call->outcome->own && r->ep == call->outcome->ep;
		sent = call->outcome->files;
	}
	for (int i = 0; i < sent; i++)
		hash = files_hash(hash, file_key(r->tag, r->ep, i));
	check->tally->claims += !r->err && sent;
	if (!known || r->files != sent)
		wrong(check, r, "files were claimed that nobody sent");
	else if (r->err != (sent ? 0 : -ENOENT))
		wrong(check, r, "%u files, and they could not be claimed", sent);
	else if (!r->err && r->hash != hash)
		wrong(check, r, "the files of another message");
}

static void check_claims(struct check *check, struct call *call)
{
	for (int i = 0; i < call->nr_claimed; i++) {
		const struct record *r = call->claimed[i];

		check_claim(check, call, r);
		for (int j = 0; j < i; j++)
			if (!r->err && !call->claimed[j]->err && r->own == call->claimed[j]->own &&
			    r->flags == call->claimed[j]->flags)
				wrong(check, r, "files were claimed twice");
	}
}

static void check_oneway(struct check *check, struct call *call)
{
	const struct record *made = call->made;
	struct tally *tally = check->tally;

	tally->oneway++;
	tally->kept += IS_KEPT(made->id) && call->nr_received;
	if (call->nr_outcome || call->nr_taken)
		wrong(check, made, "a one-way message with an outcome");
	if (call->nr_received)
		return;
	if (made->flags & F_DEADLINE)
		tally->late++;
	else if (!call->nr_sent && has_ended(check, made->own))
		tally->unfetched++;
	else if (!IS_KEPT(made->id) && (check->nr_killed || tally->ends))
		tally->lost++;
	else
		wrong(check, made, "a one-way message was lost");
}

static void check_call(struct check *check, const struct record **records, size_t nr)
{
	struct call call = call_of(records, nr);

	check->tally->answers += call.nr_answer;
	if (call.nr_made != 1) {
		wrong(check, records[0], "made %d times", call.nr_made);
		return;
	}
	check->tally->calls++;
	check->tally->parents += !!(call.made->flags & F_PARENT);
	check->tally->files += call.made->files;
	check->tally->files_back += call.outcome ? call.outcome->files : 0;
	check_received(check, &call);
	check_claims(check, &call);
	if (call.nr_room > 1 ||
	    (call.nr_room && (!(call.made->flags & F_ROOM) ||
			      (call.refused && call.refused->err != -EAGAIN) ||
			      (!call.refused && !ended_without_room(&call) &&
			       !has_ended(check, call.made->own)))))
		wrong(check, call.room, "%d notices of room", call.nr_room);
	if (call.nr_taken > 1)
		wrong(check, call.taken, "%d answers were taken", call.nr_taken);
	if (call.nr_refused) {
		check->tally->refused++;
		if (call.nr_refused > 1 || call.nr_sent || call.nr_outcome || call.nr_received)
			wrong(check, call.refused, "refused, and it is there");
	} else if (call.made->flags & F_ONEWAY) {
		check_oneway(check, &call);
	} else if (call.nr_outcome > 1) {
		wrong(check, call.outcome, "%d outcomes", call.nr_outcome);
	} else if (call.nr_outcome) {
		check_outcome(check, &call);
	} else if (has_ended(check, call.made->own)) {
		check->tally->unfetched++;
	} else {
		wrong(check, call.made, "no outcome, and its caller lives");
	}
}

/* --- notices --- */

static int by_watch(const void *a, const void *b)
{
	const struct record *x = *(const struct record *const *)a;
	const struct record *y = *(const struct record *const *)b;

	if (x->own != y->own)
		return x->own < y->own ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id ? 1 : x->type - y->type;
}

/* The records of one watch: each has a cookie of its own. */
static void check_watch(struct check *check, const struct record **records, size_t nr)
{
	const struct record *watch = NULL, *gone = NULL;
	int nr_gone = 0;
	bool removed = false;

	for (size_t i = 0; i < nr; i++) {
		if (records[i]->type == R_WATCH && !records[i]->err)
			watch = records[i];
		removed |= records[i]->type == R_UNWATCH && !records[i]->err;
		if (records[i]->type == R_GONE) {
			nr_gone++;
			gone = records[i];
		}
	}
	check->tally->watches += !!watch;
	check->tally->gone += nr_gone;
	if (nr_gone > 1)
		wrong(check, gone, "%d notices of one watch", nr_gone);
	if (nr_gone && !watch && !has_ended(check, gone->own))
		wrong(check, gone, "a notice without a watch");
	if (nr_gone && ((watch && watch->ep != gone->ep) || !is_gone(check, gone->ep)))
		wrong(check, gone, "a notice that one is gone who is not");
	if (watch && !removed && !nr_gone && has_ended(check, watch->ep) &&
	    !has_ended(check, watch->own))
		wrong(check, watch, "no notice that it is gone");
}

static bool is_watch(const struct record *r)
{
	return r->type == R_WATCH || r->type == R_UNWATCH || r->type == R_GONE;
}

static void count_notice(struct check *check, const struct record *r)
{
	if (r->type == R_CANCELLED)
		check->tally->cancelled++;
	if (r->type == R_ROOM)
		check->tally->room++;
	if (r->type == R_NOTICE)
		check->tally->notices++;
}

static void each_group(struct check *check, const struct record **records, size_t nr,
		       bool tags,
		       void (*one)(struct check *, const struct record **, size_t))
{
	size_t from = 0;

	for (size_t i = 1; i <= nr; i++) {
		bool same = i < nr && (tags ? records[i]->tag == records[from]->tag :
				       records[i]->own == records[from]->own &&
				       records[i]->id == records[from]->id);

		if (same)
			continue;
		one(check, records + from, i - from);
		from = i;
	}
}

__u64 check_records(const struct record **records, size_t nr, FILE *out,
		    struct tally *tally)
{
	struct check check = { .out = out, .tally = tally };
	const struct record **watches = calloc(nr + 1, sizeof(*watches));
	size_t nr_calls = 0, nr_watches = 0;

	*tally = (struct tally){ .records = nr };
	if (!watches)
		abort();
	gather(&check, records, nr);
	check_ids(&check);
	for (size_t i = 0; i < nr; i++) {
		const struct record *r = records[i];

		count_notice(&check, r);
		if (is_watch(r))
			watches[nr_watches++] = r;
		else if (r->tag && ((r->type >= R_MADE && r->type <= R_ANSWERED) ||
				   r->type == R_ROOM || r->type == R_CLAIMED))
			records[nr_calls++] = r;
	}
	qsort(records, nr_calls, sizeof(*records), by_tag);
	each_group(&check, records, nr_calls, true, check_call);
	qsort(watches, nr_watches, sizeof(*watches), by_watch);
	each_group(&check, watches, nr_watches, false, check_watch);
	free(check.endpoints);
	free(check.killed);
	free(check.cancels);
	free(check.notices);
	free(check.ids);
	free(watches);
	return tally->faults;
}

__u64 check_storm(FILE *out, struct tally *tally)
{
	size_t nr = 0, chunks = storm->used;
	const struct record **records = calloc(chunks * CHUNK_RECORDS + 1, sizeof(*records));
	__u64 faults;

	if (!records)
		abort();
	for (size_t i = 0; i < chunks; i++)
		for (size_t j = 0; j < CHUNK_RECORDS; j++)
			if (storm->chunks[i].records[j].type != R_NONE)
				records[nr++] = &storm->chunks[i].records[j];
	faults = check_records(records, nr, out, tally);
	if (chunks >= storm->nr_chunks) {
		fprintf(out, "# the log was full\n");
		faults++;
	}
	free(records);
	return faults;
}
