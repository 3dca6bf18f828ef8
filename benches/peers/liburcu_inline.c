/*
 * liburcu with its read sections compiled into the program, as its C users have them. The shootout compiles
 * this file where a C compiler and liburcu's headers are installed, once for each flavor, and runs it as a
 * program of its own: nothing of liburcu becomes part of urcu or of its benches.
 *
 * cc -O2 -D_LGPL_SOURCE -DURCU_API_MAP -DFLAVOR_HEADER='<urcu/urcu-memb.h>' liburcu_inline.c -lurcu-memb
 *
 * It runs the loops of rounds.rs. Each line "work place blocks pinned" on the standard input is a round, and
 * is answered with the leader's nanoseconds and operations, the follower's, and the nanoseconds from the
 * leader's start until everything was freed.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include FLAVOR_HEADER

enum { READS = 1024, UPDATES = 64, PLACES = 5 };
/* In the order of work.rs. */
enum work { READ, READ_BY_TWO, UPDATE, UPDATE_BESIDE_READER, UPDATE_BESIDE_STRANGER, UPDATE_BY_TWO };

struct object {
	struct rcu_head head;
	uint64_t value[8];
};

/* On cache lines of their own. */
struct pointer {
	struct object *object;
} __attribute__((aligned(128)));

static struct pointer pointers[2];

static struct {
	int missing, over;
} gate __attribute__((aligned(128)));

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct object *new_object(uint64_t value)
{
	struct object *object = malloc(sizeof(*object));

	if (!object)
		abort();
	for (int i = 0; i < 8; i++)
		object->value[i] = value;
	return object;
}

static void free_object(struct rcu_head *head)
{
	free(caa_container_of(head, struct object, head));
}

static int is_over(void)
{
	return __atomic_load_n(&gate.over, __ATOMIC_RELAXED);
}

static inline uint64_t read_section(struct pointer *pointer)
{
	uint64_t value;

	rcu_read_lock();
	value = rcu_dereference(pointer->object)->value[0];
	rcu_read_unlock();
	return value;
}

/* The read loop, 16 * place bytes behind a 128-byte boundary; see placement.rs. */
#define PLACED(place)                                                                                      \
	static __attribute__((noinline)) uint64_t reads_##place(struct pointer *pointer, uint64_t blocks)      \
	{                                                                                                      \
		uint64_t done = 0;                                                                                 \
                                                                                                           \
		__asm__ volatile(".balign 128\n\t.rept " #place " * 16\n\tnop\n\t.endr");                          \
		for (; done < blocks && !is_over(); done++) {                                                      \
			for (int i = 0; i < READS; i++)                                                                \
				__asm__ volatile("" : : "r"(read_section(pointer)) : "memory");                            \
			rcu_quiescent_state();                                                                         \
		}                                                                                                  \
		return done * READS;                                                                               \
	}

PLACED(0)
PLACED(1)
PLACED(2)
PLACED(3)
PLACED(4)

static uint64_t (*const reads[PLACES])(struct pointer *, uint64_t) = {
	reads_0, reads_1, reads_2, reads_3, reads_4,
};

static uint64_t updates(struct pointer *pointer, uint64_t blocks)
{
	uint64_t done = 0;

	for (; done < blocks && !is_over(); done++) {
		for (int i = 0; i < UPDATES; i++) {
			struct object *old = rcu_xchg_pointer(&pointer->object, new_object((uint64_t)i));

			call_rcu(&old->head, free_object);
		}
		rcu_quiescent_state();
	}
	return done * UPDATES;
}

struct thread {
	int is_updater, is_leader, place, pinned;
	uint64_t blocks;
	struct pointer *pointer;
	uint64_t begun, ns, operations;
};

/* Pins the calling thread to the nth CPU that the process may use. */
static void pin(int nth)
{
	cpu_set_t allowed, one;

	CPU_ZERO(&one);
	if (sched_getaffinity(getpid(), sizeof(allowed), &allowed))
		return;
	nth %= CPU_COUNT(&allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && nth-- == 0)
			CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void *run(void *argument)
{
	struct thread *thread = argument;

	if (thread->pinned)
		pin(thread->is_leader ? 0 : 1);
	rcu_register_thread();
	__atomic_sub_fetch(&gate.missing, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&gate.missing, __ATOMIC_ACQUIRE) > 0)
		caa_cpu_relax();
	thread->begun = now();
	thread->operations = thread->is_updater ? updates(thread->pointer, thread->blocks)
						: reads[thread->place](thread->pointer, thread->blocks);
	thread->ns = now() - thread->begun;
	if (thread->is_leader)
		__atomic_store_n(&gate.over, 1, __ATOMIC_RELAXED);
	rcu_unregister_thread();
	return NULL;
}

static void start(pthread_t *id, struct thread *thread)
{
	if (pthread_create(id, NULL, run, thread))
		abort();
}

int main(void)
{
	int work, place, pinned;
	uint64_t blocks;

	for (int i = 0; i < 2; i++)
		pointers[i].object = new_object(1);
	while (scanf("%d %d %" SCNu64 " %d", &work, &place, &blocks, &pinned) == 4) {
		int two = work == READ_BY_TWO || work >= UPDATE_BESIDE_READER;
		struct thread leader = {
			.is_updater = work >= UPDATE, .is_leader = 1, .place = place % PLACES, .pinned = pinned,
			.blocks = blocks, .pointer = &pointers[0],
		};
		struct thread follower = {
			.is_updater = work == UPDATE_BY_TWO, .place = place % PLACES, .pinned = pinned,
			.blocks = UINT64_MAX, .pointer = &pointers[work >= UPDATE_BESIDE_STRANGER],
		};
		uint64_t freed = 0;
		pthread_t ids[2];

		gate.missing = 1 + two;
		gate.over = 0;
		start(&ids[0], &leader);
		if (two)
			start(&ids[1], &follower);
		for (int i = 0; i <= two; i++)
			pthread_join(ids[i], NULL);
		if (leader.is_updater) {
			rcu_barrier();
			freed = now() - leader.begun;
		}
		printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", leader.ns,
		       leader.operations, follower.ns, follower.operations, freed);
		fflush(stdout);
	}
	return 0;
}
