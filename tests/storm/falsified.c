// SPDX-License-Identifier: MIT
/*
 * The checker finds what is wrong: logs that are right pass, and each one that is
 * falsified in one place is refused.
 */
#include <errno.h>
#include <kselftest_harness.h>

#include "check.h"
#include "dice.h"

#define CALLER		10ULL	/* endpoints */
#define SERVER		20ULL
#define OTHER		30ULL
#define TAG		0x100000001ULL
#define ID		77ULL
#define HASH		0xabcULL

FIXTURE(checker)
{
	struct record records[64];
	size_t nr;
	struct tally tally;
};

static struct record *add(FIXTURE_DATA(checker) *self, struct record record)
{
	self->records[self->nr] = record;
	return &self->records[self->nr++];
}

static __u64 faults(FIXTURE_DATA(checker) *self)
{
	const struct record *records[64];

	for (size_t i = 0; i < self->nr; i++)
		records[i] = &self->records[i];
	return check_records(records, self->nr, NULL, &self->tally);
}

static void endpoint(FIXTURE_DATA(checker) *self, __u64 id)
{
	add(self, (struct record){ .type = R_ENDPOINT, .own = id, .id = id * 100,
				   .pid = id + 1, .aux = id + 2 });
}

static struct record *end(FIXTURE_DATA(checker) *self, __u64 id, __u8 flags)
{
	return add(self, (struct record){ .type = R_END, .own = id, .flags = flags });
}

static void killed(FIXTURE_DATA(checker) *self, __u64 id)
{
	add(self, (struct record){ .type = R_KILL, .id = id * 100 });
}

/* A call of CALLER's that is answered by SERVER. */
struct told {
	struct record *made, *received, *answer, *answered, *outcome;
};

static struct record *made(FIXTURE_DATA(checker) *self, __u8 flags)
{
	return add(self, (struct record){ .type = R_MADE, .tag = TAG, .len = 100,
					  .hash = HASH, .own = CALLER, .flags = flags });
}

static struct record *received(FIXTURE_DATA(checker) *self, __u64 by)
{
	return add(self, (struct record){ .type = R_RECEIVED, .tag = TAG, .id = ID, .len = 100,
					  .hash = HASH, .own = by, .ep = CALLER,
					  .pid = CALLER + 1, .aux = CALLER + 2 });
}

static struct record *outcome(FIXTURE_DATA(checker) *self, int status)
{
	return add(self, (struct record){ .type = R_OUTCOME, .tag = TAG, .id = ID,
					  .own = CALLER, .err = status });
}

static struct record *answer(FIXTURE_DATA(checker) *self, __u64 by)
{
	return add(self, (struct record){ .type = R_ANSWER, .tag = TAG, .id = ID, .own = by,
					  .len = 50, .hash = by });
}

static struct record *answered(FIXTURE_DATA(checker) *self, __u64 by, int err)
{
	return add(self, (struct record){ .type = R_ANSWERED, .tag = TAG, .id = ID, .own = by,
					  .err = err });
}

static struct told tell(FIXTURE_DATA(checker) *self)
{
	struct told told = {
		.made = made(self, F_SEND),
		.received = received(self, SERVER),
		.answer = answer(self, SERVER),
		.answered = answered(self, SERVER, 0),
		.outcome = outcome(self, 0),
	};

	told.outcome->len = 50;
	told.outcome->hash = SERVER;
	told.outcome->ep = SERVER;
	return told;
}

static void cancelling(FIXTURE_DATA(checker) *self)
{
	add(self, (struct record){ .type = R_CANCELLING, .id = ID, .own = CALLER });
}

static void cancelled(FIXTURE_DATA(checker) *self, int err)
{
	cancelling(self);
	add(self, (struct record){ .type = R_CANCEL, .id = ID, .own = CALLER, .err = err });
}

FIXTURE_SETUP(checker)
{
	self->nr = 0;
	endpoint(self, CALLER);
	endpoint(self, SERVER);
	endpoint(self, OTHER);
}

FIXTURE_TEARDOWN(checker)
{
}

TEST_F(checker, passes_a_call_that_was_answered)
{
	tell(self);
	EXPECT_EQ(0, faults(self));
	EXPECT_EQ(1, self->tally.calls);
	EXPECT_EQ(1, self->tally.replies);
}

TEST_F(checker, passes_an_outcome_written_before_the_rest)
{
	struct told told = tell(self);
	struct record swap = *told.outcome;

	*told.outcome = *told.made;
	*told.made = swap;
	EXPECT_EQ(0, faults(self));
}

TEST_F(checker, sees_a_fault_that_was_written)
{
	tell(self);
	add(self, (struct record){ .type = R_FAULT });
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_a_lost_call)
{
	made(self, F_SEND);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, passes_a_lost_call_of_the_dead)
{
	made(self, 0);
	killed(self, CALLER);
	EXPECT_EQ(0, faults(self));
	EXPECT_EQ(1, self->tally.unfetched);
}

TEST_F(checker, does_not_take_the_last_end_for_a_death)
{
	made(self, 0);
	end(self, CALLER, F_FINAL);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_a_second_outcome)
{
	struct told told = tell(self);

	add(self, *told.outcome);
	EXPECT_NE(0, faults(self));
}

TEST_F(checker, sees_an_outcome_of_a_refused_call)
{
	tell(self);
	add(self, (struct record){ .type = R_REFUSED, .tag = TAG, .err = -EAGAIN });
	EXPECT_NE(0, faults(self));
}

TEST_F(checker, sees_a_refused_call_received)
{
	made(self, 0);
	received(self, SERVER);
	add(self, (struct record){ .type = R_REFUSED, .tag = TAG, .err = -ETIMEDOUT });
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_a_call_that_nobody_made)
{
	struct told told = tell(self);

	told.made->type = R_NOTICE;
	EXPECT_NE(0, faults(self));
}

TEST_F(checker, sees_a_request_of_other_bytes)
{
	tell(self).received->hash ^= 1;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_a_request_of_another_length)
{
	tell(self).received->len--;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_another_sender)
{
	tell(self).received->ep = OTHER;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_another_pid)
{
	tell(self).received->pid = 1;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_another_uid)
{
	tell(self).received->aux = 0;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_an_answer_of_other_bytes)
{
	tell(self).outcome->hash ^= 1;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_an_answer_of_another_length)
{
	tell(self).outcome->len++;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_an_answer_by_another)
{
	tell(self).outcome->ep = OTHER;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_an_error_that_was_none)
{
	tell(self).outcome->flags = F_ERROR;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_an_answer_at_another_caller)
{
	tell(self).outcome->own = OTHER;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_an_answer_that_was_not_said_to_be_taken)
{
	tell(self).answered->err = -ESRCH;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, passes_an_answer_whose_maker_died_before_it_was_told)
{
	tell(self).answered->type = R_NOTICE;
	killed(self, SERVER);
	EXPECT_EQ(0, faults(self));
}

TEST_F(checker, sees_an_answer_taken_and_a_call_timed_out)
{
	struct told told = tell(self);

	*told.outcome = (struct record){ .type = R_OUTCOME, .tag = TAG, .id = ID,
					 .own = CALLER, .err = -ETIMEDOUT };
	told.made->flags |= F_DEADLINE;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_two_answers_taken)
{
	tell(self);
	answer(self, SERVER);
	answered(self, SERVER, 0);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_a_call_received_twice)
{
	tell(self);
	received(self, OTHER);
	killed(self, OTHER);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_a_call_received_twice_by_one)
{
	tell(self).made->flags |= F_TWICE;
	received(self, SERVER);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, passes_a_call_that_may_be_done_twice_when_one_died)
{
	tell(self).made->flags |= F_TWICE;
	received(self, OTHER);
	killed(self, OTHER);
	EXPECT_EQ(0, faults(self));
	EXPECT_EQ(1, self->tally.twice);
}

TEST_F(checker, sees_one_done_twice_while_both_live)
{
	tell(self).made->flags |= F_TWICE;
	received(self, OTHER);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_a_timeout_without_a_deadline)
{
	made(self, 0);
	outcome(self, -ETIMEDOUT);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, passes_a_timeout)
{
	made(self, F_DEADLINE);
	outcome(self, -ETIMEDOUT);
	EXPECT_EQ(0, faults(self));
}

TEST_F(checker, sees_a_received_call_that_is_said_not_to_be)
{
	struct record *over;

	made(self, F_DEADLINE);
	received(self, SERVER);
	over = outcome(self, -ETIME);
	EXPECT_EQ(1, faults(self));
	over->err = -ETIMEDOUT;
	EXPECT_EQ(0, faults(self));
	over->err = -ECONNABORTED;
	end(self, SERVER, 0);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, passes_a_timeout_of_what_nobody_received)
{
	made(self, F_DEADLINE);
	outcome(self, -ETIME);
	EXPECT_EQ(0, faults(self));
}

TEST_F(checker, sees_a_cancel_that_nobody_asked_for)
{
	made(self, 0);
	outcome(self, -ECANCELED);
	cancelled(self, -EALREADY);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, passes_a_cancel)
{
	made(self, 0);
	outcome(self, -ECANCELED);
	cancelled(self, 0);
	EXPECT_EQ(0, faults(self));
}

TEST_F(checker, passes_a_cancel_of_who_died_of_it)
{
	made(self, 0);
	outcome(self, -ECANCELED);
	cancelled(self, -EALREADY);
	cancelling(self);
	EXPECT_EQ(0, faults(self));
}

TEST_F(checker, sees_a_cancel_that_worked_and_another_outcome)
{
	tell(self);
	cancelled(self, 0);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_a_reset_by_the_living)
{
	made(self, 0);
	received(self, SERVER);
	outcome(self, -ECONNRESET);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, passes_a_reset_by_the_dead)
{
	made(self, 0);
	received(self, SERVER);
	outcome(self, -ECONNRESET);
	end(self, SERVER, 0);
	EXPECT_EQ(0, faults(self));
}

TEST_F(checker, sees_a_refusal_of_what_was_received)
{
	struct record *call = made(self, 0);

	received(self, SERVER);
	outcome(self, -ECONNREFUSED);
	EXPECT_EQ(1, faults(self));
	/* It can be issued again, to a service whose activator then gives up. */
	call->flags = F_TWICE;
	EXPECT_EQ(0, faults(self));
}

TEST_F(checker, sees_a_wrong_size_that_was_needed)
{
	made(self, 0);
	received(self, SERVER);
	answer(self, SERVER);
	answered(self, SERVER, -EMSGSIZE);
	outcome(self, -EMSGSIZE)->len = 51;
	EXPECT_EQ(1, faults(self));
	self->records[self->nr - 1].len = 50;
	EXPECT_EQ(0, faults(self));
}

TEST_F(checker, sees_an_outcome_that_there_is_not)
{
	made(self, 0);
	outcome(self, -EIO);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_an_outcome_of_the_kernels_with_a_sender)
{
	made(self, F_DEADLINE);
	outcome(self, -ETIMEDOUT)->ep = SERVER;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_a_call_with_two_ids)
{
	tell(self).received->id++;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_an_id_of_two_calls)
{
	struct record *second;

	tell(self);
	made(self, F_DEADLINE)->tag++;
	second = outcome(self, -ETIMEDOUT);
	second->tag++;
	EXPECT_EQ(1, faults(self));
	second->id++;
	EXPECT_EQ(0, faults(self));
}

TEST_F(checker, sees_an_endpoint_twice)
{
	endpoint(self, OTHER);
	EXPECT_EQ(1, faults(self));
}

static struct record *watch(FIXTURE_DATA(checker) *self, int type)
{
	return add(self, (struct record){ .type = type, .own = CALLER, .ep = OTHER, .id = 5 });
}

TEST_F(checker, passes_a_watch)
{
	watch(self, R_WATCH);
	EXPECT_EQ(0, faults(self));
	watch(self, R_GONE);
	killed(self, OTHER);
	EXPECT_EQ(0, faults(self));
	EXPECT_EQ(1, self->tally.gone);
}

TEST_F(checker, sees_a_notice_that_did_not_come)
{
	struct record *removed;

	watch(self, R_WATCH);
	killed(self, OTHER);
	EXPECT_EQ(1, faults(self));
	removed = watch(self, R_UNWATCH);
	EXPECT_EQ(0, faults(self));
	removed->err = -ESRCH;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, passes_a_notice_of_the_last_end)
{
	watch(self, R_WATCH);
	watch(self, R_GONE);
	end(self, OTHER, F_FINAL);
	EXPECT_EQ(0, faults(self));
}

TEST_F(checker, sees_a_notice_of_the_living)
{
	watch(self, R_WATCH);
	watch(self, R_GONE);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_two_notices_of_one_death)
{
	watch(self, R_WATCH);
	watch(self, R_GONE);
	watch(self, R_GONE);
	killed(self, OTHER);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_a_notice_that_nobody_asked_for)
{
	watch(self, R_GONE);
	killed(self, OTHER);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_a_notice_of_room_that_nobody_wanted)
{
	struct record *refused;

	made(self, F_SEND)->flags |= F_ROOM;
	refused = add(self, (struct record){ .type = R_REFUSED, .tag = TAG, .err = -EAGAIN });
	add(self, (struct record){ .type = R_ROOM, .tag = TAG, .own = CALLER });
	EXPECT_EQ(0, faults(self));
	refused->err = -ETIMEDOUT;
	EXPECT_EQ(1, faults(self));
	refused->err = -EAGAIN;
	add(self, (struct record){ .type = R_ROOM, .tag = TAG, .own = CALLER });
	EXPECT_EQ(1, faults(self));
}

/* What it was made for ended before it could be refused. */
TEST_F(checker, sees_a_notice_of_room_for_a_call_that_found_some)
{
	struct record *request = made(self, F_SEND);
	struct record *end;

	request->flags |= F_ROOM | F_PARENT;
	end = outcome(self, -ECANCELED);
	add(self, (struct record){ .type = R_ROOM, .tag = TAG, .own = CALLER });
	EXPECT_EQ(0, faults(self));
	end->err = -ECONNRESET;
	EXPECT_LT(0, faults(self));
	end->err = -ECANCELED;
	request->flags &= ~F_PARENT;
	EXPECT_LT(0, faults(self));
}

TEST_F(checker, sees_a_cancelled_notice_of_an_answered_call)
{
	tell(self);
	add(self, (struct record){ .type = R_CANCELLED, .id = ID, .own = SERVER,
				   .err = -ETIMEDOUT });
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_two_cancelled_notices_of_one_call)
{
	const struct record notice = { .type = R_CANCELLED, .id = ID, .own = SERVER,
				       .err = -ETIMEDOUT };

	made(self, F_DEADLINE);
	received(self, SERVER);
	outcome(self, -ETIMEDOUT);
	add(self, notice);
	EXPECT_EQ(0, faults(self));
	add(self, notice);
	EXPECT_EQ(1, faults(self));
}

static struct record *oneway(FIXTURE_DATA(checker) *self, __u64 service)
{
	struct record *call = made(self, F_SEND | F_ONEWAY);

	call->id = service;
	return call;
}

TEST_F(checker, passes_a_one_way_message)
{
	oneway(self, USERS);
	received(self, SERVER);
	EXPECT_EQ(0, faults(self));
	EXPECT_EQ(1, self->tally.oneway);
	EXPECT_EQ(1, self->tally.kept);
}

TEST_F(checker, sees_a_one_way_message_doubled)
{
	oneway(self, USERS);
	received(self, SERVER);
	received(self, OTHER);
	EXPECT_NE(0, faults(self));
	/* Even if who had it first is dead. */
	killed(self, SERVER);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_a_one_way_message_lost)
{
	struct record *call = oneway(self, USERS);

	killed(self, OTHER);
	EXPECT_EQ(1, faults(self));
	call->flags |= F_DEADLINE;
	EXPECT_EQ(0, faults(self));
	EXPECT_EQ(1, self->tally.late);
}

TEST_F(checker, passes_a_one_way_message_lost_with_a_replica)
{
	oneway(self, 0);
	EXPECT_EQ(1, faults(self));
	killed(self, OTHER);
	EXPECT_EQ(0, faults(self));
	EXPECT_EQ(1, self->tally.lost);
}

/* It outlives its sender, once it was sent. */
TEST_F(checker, sees_a_one_way_message_lost_with_its_sender)
{
	oneway(self, USERS);
	killed(self, CALLER);
	EXPECT_EQ(0, faults(self));
	add(self, (struct record){ .type = R_SENT, .tag = TAG, .id = ID, .own = CALLER });
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_an_outcome_of_a_one_way_message)
{
	tell(self).made->flags |= F_ONEWAY;
	EXPECT_EQ(1, faults(self));
}

/* @nr files of CALLER's request, which SERVER claimed. */
static struct record *claimed(FIXTURE_DATA(checker) *self, int nr)
{
	struct record claim = { .type = R_CLAIMED, .tag = TAG, .id = ID, .own = SERVER,
				.ep = CALLER, .files = nr };

	for (int i = 0; i < nr; i++)
		claim.hash = files_hash(claim.hash, file_key(TAG, CALLER, i));
	return add(self, claim);
}

static struct told tell_with(FIXTURE_DATA(checker) *self, int nr)
{
	struct told told = tell(self);

	told.made->files = nr;
	told.received->files = nr;
	return told;
}

TEST_F(checker, passes_files_that_were_claimed)
{
	tell_with(self, 3);
	claimed(self, 3);
	EXPECT_EQ(0, faults(self));
	EXPECT_EQ(1, self->tally.claims);
}

TEST_F(checker, sees_files_that_did_not_come)
{
	tell_with(self, 3).received->files = 2;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_the_files_of_another_message)
{
	tell_with(self, 3);
	claimed(self, 3)->hash ^= 1;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_files_in_another_order)
{
	struct record *claim;

	tell_with(self, 2);
	claim = claimed(self, 2);
	claim->hash = files_hash(files_hash(0, file_key(TAG, CALLER, 1)),
				 file_key(TAG, CALLER, 0));
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_files_claimed_twice)
{
	tell_with(self, 3);
	claimed(self, 3);
	claimed(self, 3);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_files_that_could_not_be_claimed)
{
	struct record *claim;

	tell_with(self, 3);
	claim = claimed(self, 3);
	claim->err = -ENOENT;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_files_that_nobody_sent)
{
	tell(self);
	claimed(self, 1);
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_files_of_an_answer_that_were_those_of_the_request)
{
	struct told told = tell_with(self, 1);
	struct record *claim;

	told.answer->files = 1;
	told.answered->files = 1;
	told.outcome->files = 1;
	claim = claimed(self, 1);
	claim->flags = F_ANSWER;
	claim->own = CALLER;
	claim->ep = SERVER;
	EXPECT_EQ(1, faults(self));
	claim->hash = files_hash(0, file_key(TAG, SERVER, 0));
	EXPECT_EQ(0, faults(self));
}

TEST_F(checker, sees_an_answer_with_a_file_too_many)
{
	tell(self).outcome->files = 1;
	EXPECT_EQ(1, faults(self));
}

TEST_F(checker, sees_endpoints_that_there_are_not)
{
	made(self, F_DEADLINE);
	received(self, 99);
	outcome(self, -ETIMEDOUT);
	EXPECT_EQ(1, faults(self));
	end(self, 99, 0);
	EXPECT_EQ(2, faults(self));
}

TEST_HARNESS_MAIN
