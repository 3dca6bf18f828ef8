/*
 * Result: holds
 * Result with LOWER: deadlock
 * Result with SILENT: holds
 * Result with FLAG: deadlock
 *
 * The request word of the engine: event count, filter by the wanted sequence, two overlapping sleepers.
 *
 * Reader i entered at sequence i + 1. Sleeper i has the target i + 2 and waits for every older reader, one
 * after the other. Sequentially consistent: a heavy barrier (memb) or exchanges (qsbr) stand between.
 * Bit 0: armed, above it the count of wake-ups, which alone is the futex word.
 * LOWER: a sleeper stores the wanted sequence instead of raising it.
 * SILENT: a sleeper that has finished does not step the count.
 * FLAG: waking clears the bit and does not step the count.
 */
#define N 2

byte request = 0, wanted = 0;
bool inside[N], asleep[N];

#ifdef FLAG
#define disarmed(value) (value - 1)
#else
#define disarmed(value) (value + 1)
#endif

inline disarm_and_wake(value) {
	value = request;
	do
	:: value & 1 ->
		atomic {
			if
			:: request == value -> request = disarmed(value); value = 0; woken = 1
			:: else -> value = request; woken = 0
			fi
		};
		if
		:: woken -> atomic { asleep[0] = 0; asleep[1] = 0 }
		:: else
		fi
	:: else -> break
	od
}

proctype reader(byte i) {
	byte value;
	bool woken;
	inside[i] = 0;
	if
	:: request & 1 ->
		if
		:: i + 1 < wanted -> disarm_and_wake(value)
		:: else
		fi
	:: else
	fi
}

proctype sleeper(byte i) {
	byte value, slot = 0;
	bool woken;
#ifdef LOWER
	wanted = i + 2;
#else
	atomic { /* fetch_max */
		if
		:: wanted < i + 2 -> wanted = i + 2
		:: else
		fi
	};
#endif
	do
	:: slot > i -> break
	:: else ->
		atomic { request = request | 1; value = request >> 1 };
		if
		:: !inside[slot] -> slot++
		:: else ->
			atomic {
				if
				:: request >> 1 == value -> asleep[i] = 1
				:: else
				fi
			};
			!asleep[i]
		fi
	od;
#ifndef SILENT
	disarm_and_wake(value)
#endif
}

init {
	inside[0] = 1; inside[1] = 1;
	atomic { run reader(0); run reader(1); run sleeper(0); run sleeper(1) }
}
