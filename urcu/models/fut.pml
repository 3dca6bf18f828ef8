/*
 * Result: deadlock
 * Result with ALONE: holds
 *
 * A plain flag as request word: one sleeper is woken, two lose a wake-up.
 *
 * Sleeper i waits for reader i. Sequentially consistent: a heavy barrier follows the arming store.
 * ALONE: one sleeper and one reader.
 */
bool request = 0, inside[2], asleep[2];

proctype reader(byte i) {
	inside[i] = 0;
	if
	:: request ->
		request = 0;
		atomic { asleep[0] = 0; asleep[1] = 0 } /* wake all */
	:: else
	fi
}

proctype sleeper(byte i) {
	do
	:: request = 1;
	   if
	   :: !inside[i] -> break
	   :: else
	   fi;
	   atomic { /* futex_wait: sleeps if the word is still armed */
		if
		:: request -> asleep[i] = 1
		:: else
		fi
	   };
	   !asleep[i]
	od
}

init {
	inside[0] = 1;
#ifdef ALONE
	atomic { run reader(0); run sleeper(0) }
#else
	inside[1] = 1;
	atomic { run reader(0); run reader(1); run sleeper(0); run sleeper(1) }
#endif
}
