/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Turns, held against the bounds that turns.h states, on a device in virtual time */
#include <string.h>

#include "test-scheduler-device.h"
#include "test.h"
#include "turns.h"

#define GIVERS_MAX 12
#define CLIENTS_MAX 6
#define SEEDS 40
#define END_USEC 2000000u
#define IDLE_USEC 100u
#define NEVER UINT64_MAX

/* Who gives work: a number of works of one length each, again and again */
typedef struct Giver {
    Turn turn;                      /* first */
    uint64_t work_usec, pause_usec; /* at most so long between two bursts */
    unsigned burst_max;
    unsigned allowed; /* works that may be on the device at once */
    unsigned left;    /* of the burst, not given yet */
    unsigned on_device;
    uint64_t done_usec; /* of the first of them */
    uint64_t idle_usec; /* when the last of them ended */
    uint64_t next_usec; /* when the next burst begins; NEVER: not before this one has ended */
    bool open, watched;
    bool told;                /* that it waits; it says so once */
    uint64_t slow_usec;       /* how long it takes to see that it has a turn */
    uint64_t open_usec;       /* when its turn began, but for going on */
    uint64_t kept_until_usec; /* a turn by overtaking is */
    /* What the test knows of its wait */
    bool waits;
    uint64_t since_usec;
    unsigned place;   /* among those of its priority, 1 being the first */
    bool undisturbed; /* as far as turns.h wants it for the short bound */
    uint64_t device_usec;
} Giver;

typedef struct World {
    Turns turns;
    TurnClient clients[CLIENTS_MAX];
    Giver givers[GIVERS_MAX];
    unsigned n_givers;
    uint64_t now_usec, limit_usec;
    uint64_t longest_leaving_usec;
    uint64_t longest_short_usec; /* of the undisturbed waits of high */
    uint64_t longest_part_usec;  /* of the others, by 2 k */
    unsigned n_impatient, n_open;
    bool changes; /* somebody holds and changes at random */
    bool due[VGPU_N_PRIORITIES];
    unsigned passed_over[VGPU_N_PRIORITIES]; /* turns in a row while due */
    bool two_due[VGPU_N_PRIORITIES];         /* at one of these, low and medium both were */
} World;

static World *world;

static Giver *giver_of(Turn *t)
{
    return (Giver *) t;
}

/* ---- What the library calls ------------------------------------------------------------------ */

static void note_begin(World *w, Giver *g)
{
    unsigned priority = g->turn.client->priority;
    uint64_t waited = w->now_usec - g->since_usec;

    require(g->waits);
    g->waits = false;
    if (priority == VGPU_PRIORITY_HIGH && g->undisturbed && waited > w->longest_short_usec)
        w->longest_short_usec = waited;
    if (priority == VGPU_PRIORITY_HIGH && waited / (2 * g->place) > w->longest_part_usec)
        w->longest_part_usec = waited / (2 * g->place);
}

/* Nobody else's work is there, but of those whose time ran out. */
static void check_alone(World *w, const Giver *g)
{
    for (unsigned i = 0; i < w->n_givers; i++) {
        const Giver *other = &w->givers[i];

        if (other == g || other->on_device == 0)
            continue;
        require(w->now_usec >=
                other->turn.closed_usec +
                    w->turns.patience_usec *
                        (other->turn.left_priority < g->turn.client->priority ? 1 : 10));
    }
}

static void on_open(Turn *t, bool open, void *userdata)
{
    World *w = userdata;
    Giver *g = giver_of(t);

    require(g->open != open);
    g->open = open;
    w->n_open += open ? 1 : -1u;
    require(w->n_open <= 1);
    if (!open) {
        require(w->changes || w->now_usec >= g->kept_until_usec || g->on_device == 0 ||
                t->begin_usec > g->open_usec);
        return;
    }
    g->open_usec = w->now_usec;
    g->kept_until_usec = w->turns.overtakes ? w->now_usec + w->turns.turn_usec : 0;
    check_alone(w, g);
    note_begin(w, g);
    for (unsigned p = 0; p < VGPU_PRIORITY_HIGH; p++)
        if (w->due[p])
            w->passed_over[p] = t->client->priority == p ? 0 : w->passed_over[p] + 1;
}

static void on_watch(Turn *t, bool watched, void *userdata)
{
    (void) userdata;
    giver_of(t)->watched = watched;
}

static uint64_t on_look(Turn *t, void *userdata)
{
    (void) userdata;
    return giver_of(t)->on_device > 0 ? NEVER : giver_of(t)->idle_usec;
}

static void begin_wait(World *w, Giver *g);

/* It has not seen that it had a turn. */
static bool on_waits(Turn *t, void *userdata)
{
    Giver *g = giver_of(t);

    if (g->told && !g->waits)
        begin_wait(userdata, g);
    return g->told;
}

static void on_lost_patience(Turn *leaver, Turn *next, void *userdata)
{
    World *w = userdata;

    w->n_impatient += leaver->left_priority < next->client->priority;
}

static const TurnsOps ops = {
    .set_open = on_open,
    .watch = on_watch,
    .look = on_look,
    .waits = on_waits,
    .lost_patience = on_lost_patience,
};

/* ---- The device and those who give it work ----------------------------------------------------
 */

static unsigned n_on_device(const World *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->n_givers; i++)
        n += w->givers[i].on_device > 0;
    return n;
}

static bool is_due(const World *w, unsigned priority)
{
    for (unsigned i = 0; i < w->n_givers; i++) {
        const Giver *g = &w->givers[i];

        if (g->waits && g->turn.client->priority == priority && !g->turn.client->sched.held &&
            w->now_usec >= g->since_usec + w->limit_usec)
            return true;
    }
    return false;
}

static void note_due(World *w)
{
    for (unsigned p = 0; p < VGPU_PRIORITY_HIGH; p++) {
        w->due[p] = is_due(w, p);
    }
    for (unsigned p = 0; p < VGPU_PRIORITY_HIGH; p++) {
        if (!w->due[p])
            w->passed_over[p] = 0;
        if (w->passed_over[p] == 0)
            w->two_due[p] = false;
        w->two_due[p] |= w->due[VGPU_PRIORITY_LOW] && w->due[VGPU_PRIORITY_MEDIUM];
    }
}

static void begin_wait(World *w, Giver *g)
{
    const Turn *holder = w->turns.holder ? w->turns.holder : w->turns.next;

    g->waits = true;
    g->since_usec = w->now_usec;
    g->place = 1;
    g->undisturbed = !is_due(w, 0) && !is_due(w, 1) && !(holder && w->turns.overtakes);
    for (unsigned i = 0; i < w->n_givers; i++) {
        const Giver *other = &w->givers[i];

        if (other == g || other->turn.client->priority != g->turn.client->priority)
            continue;
        g->place += other->waits;
        if (other->waits || other->open || other->on_device > 0)
            g->undisturbed = false;
    }
}

/* Gives what it may, and says how it stands. */
static void giver_act(World *w, Giver *g)
{
    bool waits;

    if (g->left == 0 && g->on_device == 0 && w->now_usec >= g->next_usec) {
        g->left = 1 + random_below(g->burst_max);
        g->next_usec = NEVER;
    }
    if (g->open && w->now_usec >= g->open_usec + g->slow_usec)
        g->told = false;
    while (g->open && !g->told && g->left > 0 && g->on_device < g->allowed) {
        if (g->on_device++ == 0)
            g->done_usec = 0;
        g->left--;
    }
    if (g->left == 0 && g->on_device == 0 && g->next_usec == NEVER)
        g->next_usec = w->now_usec + random_below((uint32_t) g->pause_usec + 1);
    waits = !g->open && g->left > 0 && !g->told;
    if (waits)
        begin_wait(w, g);
    g->told |= waits;
    if (g->turn.leaves && g->on_device == 0 &&
        w->now_usec - g->turn.closed_usec > w->longest_leaving_usec)
        w->longest_leaving_usec = w->now_usec - g->turn.closed_usec;
    turns_see(&w->turns, &g->turn, waits, g->on_device > 0, w->now_usec);
}

static void all_act(World *w)
{
    for (unsigned i = 0; i < w->n_givers; i++) {
        note_due(w);
        giver_act(w, &w->givers[i]);
    }
    note_due(w);
    for (unsigned p = 0; p < VGPU_PRIORITY_HIGH; p++)
        require(w->passed_over[p] <= (w->two_due[p] ? 4u : 2u));
}

/* The device works in equal parts at what each has there. */
static void device_go_on(World *w, uint64_t usec)
{
    unsigned n = n_on_device(w);

    for (unsigned i = 0; i < w->n_givers && n > 0; i++) {
        Giver *g = &w->givers[i];

        if (g->on_device == 0)
            continue;
        g->device_usec += usec;
        g->done_usec += usec;
        if (g->done_usec < g->work_usec * n)
            continue;
        g->done_usec = 0;
        if (--g->on_device == 0)
            g->idle_usec = w->now_usec + usec;
    }
    w->now_usec += usec;
}

static uint64_t time_of_next(const World *w)
{
    uint64_t next = turns_next_tick(&w->turns);
    unsigned n = n_on_device(w);

    for (unsigned i = 0; i < w->n_givers; i++) {
        const Giver *g = &w->givers[i];
        uint64_t end = g->work_usec * n > g->done_usec ? g->work_usec * n - g->done_usec : 0;

        if (g->on_device > 0 && w->now_usec + end < next)
            next = w->now_usec + end;
        if (g->next_usec < next)
            next = g->next_usec;
        if (g->open && g->told && g->open_usec + g->slow_usec < next)
            next = g->open_usec + g->slow_usec;
    }
    return next;
}

/* As long as one waits, somebody has the turn, or one who had it has work there, or all are held.
 */
static void check_busy(World *w)
{
    bool waits = false;

    for (unsigned i = 0; i < w->n_givers; i++)
        waits |= w->givers[i].waits && !w->givers[i].turn.client->sched.held;
    require(!waits || w->turns.scheduler.held || w->turns.holder || n_on_device(w) > 0);
    require(turns_next_tick(&w->turns) > w->now_usec);
}

static void go_on(World *w)
{
    uint64_t next = time_of_next(w);

    if (next == NEVER)
        next = w->now_usec + 1000;
    device_go_on(w, next > w->now_usec ? next - w->now_usec : 0);
    note_due(w);
    turns_tick(&w->turns, w->now_usec);
    all_act(w);
    turns_tick(&w->turns, w->now_usec);
    all_act(w);
    check_busy(w);
}

static void begin(World *w, SchedPolicy policy, uint64_t turn_usec, uint64_t patience_usec,
                  uint64_t limit_usec)
{
    memset(w, 0, sizeof(*w));
    world = w;
    turns_init(&w->turns, &ops, w, turn_usec, patience_usec, IDLE_USEC);
    scheduler_set_policy(&w->turns.scheduler, policy);
    scheduler_set_starvation_limit(&w->turns.scheduler, limit_usec);
    w->limit_usec = limit_usec;
}

static Giver *add(World *w, TurnClient *c, uint64_t work_usec, unsigned burst_max,
                  uint64_t pause_usec, unsigned allowed)
{
    Giver *g = &w->givers[w->n_givers++];

    turn_init(&g->turn, c);
    g->work_usec = work_usec;
    g->burst_max = burst_max;
    g->pause_usec = pause_usec;
    g->allowed = allowed;
    g->slow_usec = random_below(10) == 0 ? 150 : 0;
    return g;
}

static void add_at_random(World *w)
{
    static const uint64_t works[] = {5, 50, 110, 1000, 20000};
    unsigned n = 2 + random_below(CLIENTS_MAX - 1);

    for (unsigned i = 0; i < n; i++)
        turn_client_init(&w->clients[i], random_below(VGPU_N_PRIORITIES));
    for (unsigned i = 0; i < n * 2; i++) {
        uint64_t work = works[random_below(5)];

        unsigned burst_max = 1 + random_below(2) * 60,
                 allowed = 1 + random_below(1000) / (unsigned) work;

        (void) add(w, &w->clients[i % n], work, burst_max, random_below(2) ? 10 : 5000, allowed);
    }
}

/* ---- Bounds ------------------------------------------------------------------------------------
 */

/* A stranger's patience is as long as the test, so that the device has one's work at a time. */
TEST(test_waits_at_high)
{
    static World w;

    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        uint64_t turn;

        random_seed(seed);
        turn = 500 + random_below(5000);
        begin(&w, seed % 2 ? SCHED_FAIR : SCHED_FIFO, turn, NEVER / 16,
              20000 + random_below(80000));
        add_at_random(&w);
        while (w.now_usec < END_USEC)
            go_on(&w);
        require(w.longest_short_usec <= w.longest_leaving_usec);
        if (seed % 2 == 0)
            require(w.longest_part_usec <= turn + w.longest_leaving_usec);
        require(w.n_impatient == 0);
    }
}

TEST(test_patience)
{
    static World w;
    unsigned n = 0;

    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        uint64_t patience;

        random_seed(seed);
        patience = random_below(3000);
        begin(&w, seed % 2 ? SCHED_FAIR : SCHED_FIFO, 500 + random_below(5000), patience,
              20000 + random_below(80000));
        add_at_random(&w);
        while (w.now_usec < END_USEC)
            go_on(&w);
        require(w.longest_short_usec <= patience);
        n += w.n_impatient;
    }
    assert_true(n > SEEDS);
}

/* Whatever the lengths of what they give are: weights 1, 2, 4. */
TEST(test_shares)
{
    static const uint64_t works[] = {50, 110, 700, 3000, 9000};
    static World w;

    for (uint32_t seed = 0; seed < 3 * SEEDS; seed++) {
        double turn, leaving, spread = 0, part[3];

        random_seed(seed);
        turn = 500 + random_below(5000);
        begin(&w, SCHED_FAIR, (uint64_t) turn, 100000, 1000000);
        for (unsigned i = 0; i < 3; i++) {
            turn_client_init(&w.clients[i], VGPU_PRIORITY_MEDIUM);
            sched_client_set_weight(&w.clients[i].sched, 1u << i);
            for (unsigned j = 0; j <= random_below(2); j++) {
                uint64_t work = works[random_below(5)];

                /* None is slow: that would take time in which the device does nothing. */
                add(&w, &w.clients[i], work, 1000000, 0, 1 + random_below(8))->slow_usec = 0;
            }
        }
        while (w.now_usec < END_USEC)
            go_on(&w);
        leaving = (double) w.longest_leaving_usec;
        memset(part, 0, sizeof(part));
        for (unsigned i = 0; i < w.n_givers; i++) {
            unsigned c = (unsigned) (w.givers[i].turn.client - w.clients);

            part[c] += (double) w.givers[i].device_usec / (1u << c);
        }
        for (unsigned i = 0; i < 3; i++)
            for (unsigned j = 0; j < 3; j++)
                if (part[i] - part[j] > spread)
                    spread = part[i] - part[j];
        require(spread <= 4 * (turn + leaving) * (1 + 1 / 2.0));
    }
}

/* ---- Holding -----------------------------------------------------------------------------------
 */

static void change_at_random(World *w, unsigned n)
{
    TurnClient *c = &w->clients[random_below(n)];

    switch (random_below(5)) {
    case 0:
        turns_hold(&w->turns, c, !c->sched.held, w->now_usec);
        break;
    case 1:
        turns_set_priority(&w->turns, c, random_below(VGPU_N_PRIORITIES), w->now_usec);
        break;
    case 2:
        turns_hold_all(&w->turns, !w->turns.scheduler.held, w->now_usec);
        break;
    case 3:
        sched_client_set_weight(&c->sched, 1 + random_below(100));
        break;
    default:
        turns_set_times(&w->turns, 1 + random_below(5000), random_below(3000), w->now_usec);
        scheduler_set_policy(&w->turns.scheduler, random_below(2) ? SCHED_FAIR : SCHED_FIFO);
    }
}

/* A session ends, its work with it, and another one of its VM begins. */
static void replace_at_random(World *w)
{
    Giver *g = &w->givers[random_below(w->n_givers)];
    TurnClient *c = g->turn.client;

    g->left = 0;
    g->on_device = 0;
    g->idle_usec = w->now_usec;
    g->waits = g->told = false;
    turns_remove(&w->turns, &g->turn, w->now_usec);
    require(!g->open && g->turn.state == TURN_RESTS && !g->turn.leaves);
    g->next_usec = w->now_usec + random_below(1000);
    turn_init(&g->turn, c);
}

static bool is_held(const World *w, const Giver *g)
{
    return w->turns.scheduler.held || g->turn.client->sched.held;
}

static bool all_had_turns(const World *w)
{
    for (unsigned i = 0; i < w->n_givers; i++)
        if (w->givers[i].turn.n_turns == 0)
            return false;
    return true;
}

/* Nothing that an administrator does loses a session or has two at once. */
TEST(test_changes)
{
    static World w;

    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        random_seed(seed);
        begin(&w, SCHED_FAIR, 1000, 1000, 50000);
        w.changes = true;
        add_at_random(&w);
        for (unsigned i = 0; i < 20000; i++) {
            /* A change of priority moves what waits between the counts of the test. */
            memset(w.passed_over, 0, sizeof(w.passed_over));
            if (random_below(4) == 0)
                change_at_random(&w, CLIENTS_MAX < w.n_givers / 2 ? CLIENTS_MAX : w.n_givers / 2);
            if (random_below(10) == 0)
                replace_at_random(&w);
            for (unsigned j = 0; j < w.n_givers; j++)
                require(!w.givers[j].open || !is_held(&w, &w.givers[j]));
            go_on(&w);
        }
        /* All go on. */
        turns_hold_all(&w.turns, false, w.now_usec);
        for (unsigned i = 0; i < w.n_givers; i++) {
            turns_hold(&w.turns, w.givers[i].turn.client, false, w.now_usec);
            w.givers[i].turn.n_turns = 0;
        }
        for (uint64_t end = w.now_usec + 20 * END_USEC; !all_had_turns(&w);) {
            require(w.now_usec < end);
            memset(w.passed_over, 0, sizeof(w.passed_over));
            go_on(&w);
        }
    }
}

/* ---- Alone -------------------------------------------------------------------------------------
 */

TEST(test_alone)
{
    static World w;
    Giver *g;

    random_seed(0);
    begin(&w, SCHED_FIFO, 1000, 1000, 50000);
    turn_client_init(&w.clients[0], VGPU_PRIORITY_LOW);
    turn_client_init(&w.clients[1], VGPU_PRIORITY_LOW);
    g = add(&w, &w.clients[0], 110, 1, 10, 1);
    while (w.now_usec < END_USEC)
        go_on(&w);
    assert_int_equal(g->turn.n_turns, 1);
    assert_false(g->watched);
    assert_true(turns_next_tick(&w.turns) == NEVER);

    /* Who comes gets the device at once, since that turn has lasted long enough. */
    (void) add(&w, &w.clients[1], 110, 1, 10, 1);
    w.givers[1].next_usec = w.now_usec;
    for (unsigned i = 0; i < 10; i++)
        go_on(&w);
    assert_true(w.givers[1].turn.n_turns > 0);
    assert_true(w.givers[1].turn.longest_wait_usec <= 110);
}

/* One at high that always has work leaves a low one that much. */
TEST(test_starvation_limit)
{
    static World w;
    Giver *low;

    random_seed(0);
    begin(&w, SCHED_FIFO, 1000, 1000, 50000);
    turn_client_init(&w.clients[0], VGPU_PRIORITY_HIGH);
    turn_client_init(&w.clients[1], VGPU_PRIORITY_LOW);
    (void) add(&w, &w.clients[0], 110, 1000000, 0, 3);
    low = add(&w, &w.clients[1], 110, 1000000, 0, 3);
    while (w.now_usec < END_USEC)
        go_on(&w);
    assert_true(low->turn.longest_wait_usec <= 50000 + 3 * 110);
    assert_in_range(low->turn.n_turns, END_USEC / 52000, END_USEC / 50000);
    assert_true(low->device_usec >= low->turn.n_turns * 1000);
}

/* Whoever has nothing to do hands over long before its turn ends, but not in the pauses of a
 * program that waits for each of its works. */
TEST(test_idle)
{
    static World w;
    Giver *busy, *other;

    random_seed(0);
    begin(&w, SCHED_FIFO, 10000, 1000, 50000);
    turn_client_init(&w.clients[0], VGPU_PRIORITY_MEDIUM);
    turn_client_init(&w.clients[1], VGPU_PRIORITY_MEDIUM);
    busy = add(&w, &w.clients[0], 110, 1, IDLE_USEC - 1, 1);
    other = add(&w, &w.clients[1], 110, 1, 5000, 1);
    while (w.now_usec < END_USEC)
        go_on(&w);
    assert_true(busy->turn.longest_wait_usec <= 10 * (110 + IDLE_USEC));
    assert_true(other->turn.longest_wait_usec <= 10000 + 110);
    assert_true(busy->turn.n_turns > 0 && busy->turn.n_turns <= other->turn.n_turns + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_at_high), cmocka_unit_test(test_patience),
        cmocka_unit_test(test_shares),        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_alone),         cmocka_unit_test(test_starvation_limit),
        cmocka_unit_test(test_idle),
    };

    return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
