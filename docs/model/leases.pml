/* leases.pml - leases and verdicts, for one slot of an at-most group, with a broker that may die.
 *
 * What is checked: the slot's guest never runs at two places at once, whatever is lost, late or wrongly judged.
 * An overlap is an old life that goes on and a new one that begins. The old one's node is modelled whole; the
 * new one begins elsewhere in the very moment the broker orders it, which is the worst it can do.
 *
 * Time is a number that moves only when nobody is overdue; messages wait in channels for as long as they like
 * and may be lost; monitors may condemn the node at any moment, rightly or wrongly; the keeper's clock may be
 * slow by DRIFT over a lease, which MARGIN covers. The broker counts a lease from receiving the ask, the keeper
 * from sending it; a new reign knows of no grant and waits a whole lease; a node that says hello is given a new
 * epoch, and what carries an old one moves nothing.
 *
 * Compiled with one of these, a rule is left out, and the search must find the overlap (docs/model/check):
 * SKIP_REIGN_WAIT, COUNT_FROM_GRANT, NO_MARGIN, NO_WAIT, FORGET_LEASE, NO_FENCE, OLD_EPOCH. OLD_ASK lets a guest
 * begin under any lease that runs, also one asked for before its order came: the search finds that safe too, so
 * the rule is a second lock on a door that is shut already. */
#define LEASE 2
#define DRIFT 1
#ifdef NO_MARGIN
#define MARGIN 0
#else
#define MARGIN (DRIFT + 1) /* more than the drift: within one tick anything may come first */
#endif
#ifndef END
#define END 7
#endif
#ifndef VERDICTS
#define VERDICTS 2
#endif

byte now;

/* the node */
byte epoch = 1;          /* that it believes in */
bool running;            /* its guest's CPUs run */
bool over;               /* the generation has lived: it does not come back */
bool ordered;            /* it holds an order that waits for a lease */
byte ordered_at;
byte until;              /* its lease ends, on a clock that may be late by DRIFT */

/* the broker */
byte given = 1;          /* epoch it gave the node */
bool failed;             /* that epoch is over */
byte granted;            /* the longest lease the node may hold */
bool sent = true;        /* the node's generation is the slot's current one, and its order is out */
bool lost;               /* or it was: not proven gone, and a successor is wanted */
bool elsewhere;          /* the successor is ordered, and runs */
byte verdicts;
bool crashed;

chan ask = [1] of { byte, byte };   /* epoch, when it was asked */
chan grant = [1] of { byte };       /* when it was asked */
chan order = [1] of { byte };       /* epoch */

#ifdef NO_FENCE
#define OVERDUE false
#else
#define OVERDUE (running && now >= until + DRIFT)
#endif

proctype clock()
{
    /* A keeper that lives ends its guest before its lease, on its own clock, is over. */
    do
    :: d_step { now < END && !OVERDUE -> now++ }
    :: now == END -> break
    od
}

proctype node()
{
    byte e, t;
    do
    :: atomic { order?e ->
           if
#ifdef OLD_EPOCH
           :: !over
#else
           :: !over && e == epoch
#endif
               -> ordered = true; ordered_at = now
           :: else
           fi;
           e = 0 }
    :: atomic { (ordered || running) && empty(ask) -> ask!epoch, now }
    :: atomic { grant?t ->
#ifdef COUNT_FROM_GRANT
           t = now;
#endif
           if
           :: t + LEASE > until && t + LEASE > now -> until = t + LEASE
           :: else
           fi;
           if
#ifdef OLD_ASK
           :: ordered && now < until
#else
           :: ordered && now < until && t >= ordered_at
#endif
               -> ordered = false; running = true; over = true;
               assert(!elsewhere) /* I3 */
           :: else
           fi;
           t = 0 }
#ifndef NO_FENCE
    :: atomic { running && now >= until -> running = false }
#endif
    :: atomic { running -> running = false } /* it dies of its own, untold */
    /* Hello: a new epoch and an inventory. Orders die with their epoch. What was lost and runs is reinstated
     * while no successor is ordered; what does not run is proven gone. */
    :: atomic { failed ->
           given++; epoch = given; failed = false; ordered = false;
           if
           :: lost && !elsewhere && running -> lost = false; sent = true
           :: lost && !elsewhere && !running -> lost = false; elsewhere = true
           :: else
           fi;
           assert(!(running && elsewhere && lost)) }
    :: now == END -> break
    od
}

#ifdef NO_WAIT
#define FREE true
#else
#define FREE (now >= granted + MARGIN)
#endif

proctype broker()
{
    byte e, t;
    do
    :: atomic { ask?e, t ->
           if
           :: e == given && !failed ->
               granted = now + LEASE;
               if
               :: nfull(grant) -> grant!t
               :: full(grant)
               fi
           :: else
           fi;
           e = 0; t = 0 }
    :: atomic { sent && !failed && nfull(order) -> order!given } /* again and again */
    :: atomic { !failed && verdicts < VERDICTS ->
           verdicts++;
           failed = true;
#ifdef FORGET_LEASE
           granted = 0;
#endif
           if
           :: sent -> sent = false; lost = true
           :: else
           fi }
    :: atomic { lost && !elsewhere && FREE -> elsewhere = true; assert(!running) /* I3 */ }
    /* The broker dies; the next reign has the log, and no memory of grants. */
    :: atomic { !crashed ->
           crashed = true;
#ifdef SKIP_REIGN_WAIT
           granted = 0
#else
           granted = now + LEASE
#endif
       }
    :: now == END -> break
    od
}

proctype network()
{
    do
    :: ask?_, _
    :: grant?_
    :: order?_
    :: now == END -> break
    od
}

init
{
    atomic { run clock(); run node(); run broker(); run network() }
}
