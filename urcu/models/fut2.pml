/*
 * Result: holds
 * Result with ONE: deadlock
 *
 * An event count as request word: two sleepers lose no wake-up, if all are woken.
 *
 * Sleeper i waits for reader i. Bit 0: armed, above it the count of wake-ups. Sequentially consistent: a
 * heavy barrier follows the arming. ONE: wakes one sleeper instead of all.
 */
byte request = 0;
bool inside[2], asleep[2];

inline wake() {
	atomic {
#ifdef ONE
		if
		:: asleep[0] -> asleep[0] = 0
		:: asleep[1] -> asleep[1] = 0
		:: else
		fi
#else
		asleep[0] = 0; asleep[1] = 0
#endif
	}
}

proctype reader(byte i) {
	byte value;
	inside[i] = 0;
	value = request;
	if
	:: value & 1 ->
		/* CAS: drops the bit and steps the count. Who loses: somebody else has stepped it. */
		atomic {
			if
			:: request == value -> request = value + 1
			:: else
			fi
		};
		wake()
	:: else
	fi
}

proctype sleeper(byte i) {
	byte value;
	do
	:: atomic { value = request | 1; request = value }; /* fetch_or */
	   if
	   :: !inside[i] -> break
	   :: else
	   fi;
	   atomic { /* futex_wait */
		if
		:: request == value -> asleep[i] = 1
		:: else
		fi
	   };
	   !asleep[i]
	od
}

init {
	inside[0] = 1; inside[1] = 1;
	atomic { run reader(0); run reader(1); run sleeper(0); run sleeper(1) }
}
