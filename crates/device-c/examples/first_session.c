/*
 * A controller and a pump of two makers, in one process: they prove to one another who they are, the controller reads the
 * pump's state, and sends a sealed bolus and gets its receipt. docs/device-sdk.md walks through it.
 *
 * Memory stands for flash, three arrays for a secure element, and a row of places for the link between the two.
 */
#include "medlock_device.h"
#include "site.h" /* what the site's hub made: its list, its status, a credential for each device */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* [memory] */
enum { PAGES = 48, OBJECT_PAGES = 40, STAGING = 2048, DATAGRAM = 1280 };

/* All the memory of one device. */
struct node {
    medlock_address address;
    medlock_device *device;
    void (*tell)(const medlock_output *output);
    uint64_t memory[MEDLOCK_DEVICE_BYTES / sizeof(uint64_t)];
    uint8_t staging[STAGING];
    uint8_t flash[PAGES * MEDLOCK_PAGE_BYTES];
    uint8_t secrets[3][32]; /* by slot */
    int has_secret[3];
    uint64_t dice;
};
/* [memory] */

static struct node controller = {.address = {1, {1}}}, pump = {.address = {1, {2}}};
static uint64_t now_ms;

static void check(int32_t result, const char *what)
{
    if (result != MEDLOCK_OK) {
        printf("%s: error %d\n", what, (int)result);
        exit(1);
    }
}

/* [flash] */
static int32_t flash_program(void *user, size_t offset, const uint8_t *bytes, size_t length)
{
    struct node *node = user;
    memcpy(node->flash + offset, bytes, length);
    return MEDLOCK_PLATFORM_DONE;
}

static int32_t flash_erase(void *user, size_t page)
{
    struct node *node = user;
    memset(node->flash + page * MEDLOCK_PAGE_BYTES, 0xff, MEDLOCK_PAGE_BYTES);
    return MEDLOCK_PLATFORM_DONE;
}
/* [flash] */

/* Numbers from a seed: enough to play with. A device has a generator. */
static void draw(void *user, uint8_t *bytes, size_t length)
{
    struct node *node = user;
    while (length-- > 0) {
        node->dice = node->dice * 6364136223846793005u + 1442695040888963407u;
        *bytes++ = (uint8_t)(node->dice >> 56);
    }
}

/* [keys] */
static int32_t key_public(void *user, int32_t slot, uint8_t public_key[33])
{
    struct node *node = user;
    if (!node->has_secret[slot]) {
        return MEDLOCK_PLATFORM_EMPTY;
    }
    if (public_key == NULL) {
        return MEDLOCK_PLATFORM_DONE;
    }
    return medlock_software_public(node->secrets[slot], public_key) ? MEDLOCK_PLATFORM_FAILED : MEDLOCK_PLATFORM_DONE;
}

static int32_t key_sign(void *user, int32_t slot, const uint8_t digest[32], uint8_t signature[64])
{
    struct node *node = user;
    uint8_t fresh[32];
    draw(user, fresh, sizeof fresh);
    return medlock_software_sign(node->secrets[slot], digest, fresh, signature) ? MEDLOCK_PLATFORM_FAILED
                                                                                : MEDLOCK_PLATFORM_DONE;
}

static int32_t key_agree(void *user, int32_t slot, const uint8_t public_x[32], uint8_t shared_x[32])
{
    struct node *node = user;
    return medlock_software_agree(node->secrets[slot], public_x, shared_x) ? MEDLOCK_PLATFORM_FAILED
                                                                           : MEDLOCK_PLATFORM_DONE;
}

static int32_t key_generate_next(void *user)
{
    struct node *node = user;
    uint8_t public_key[33];
    do {
        draw(user, node->secrets[MEDLOCK_KEY_NEXT], 32);
    } while (medlock_software_public(node->secrets[MEDLOCK_KEY_NEXT], public_key) != MEDLOCK_OK);
    node->has_secret[MEDLOCK_KEY_NEXT] = 1;
    return MEDLOCK_PLATFORM_DONE;
}

static int32_t key_promote_next(void *user)
{
    struct node *node = user;
    memcpy(node->secrets[MEDLOCK_KEY_OPERATIONAL], node->secrets[MEDLOCK_KEY_NEXT], 32);
    node->has_secret[MEDLOCK_KEY_OPERATIONAL] = 1;
    node->has_secret[MEDLOCK_KEY_NEXT] = 0;
    return MEDLOCK_PLATFORM_DONE;
}
/* [keys] */

/* [therapy] */
/* The pump's journal, behind the pages of its objects, and what it does by command at most. */
static const medlock_therapy THERAPY = {
    .first_page = OBJECT_PAGES,
    .pages = PAGES - OBJECT_PAGES,
    .bank_pages = 2,
    .limits = {
        .challenge_age_ms = 60000,
        .bolus_milliunits = 5000,
        .basal_milliunits_per_hour = 5000,
        .window_milliunits = 10000,
        .window_halts = 3,
        .concentration_units_per_ml = 100,
        .basal_minutes = 120,
        .window_minutes = 60,
        .halt_minutes = 120,
        .lease_minutes = 30,
    },
};
/* [therapy] */

/* Starts a device with a credential of the site, as enrolment at a hub gives one. */
static void start(struct node *node, const medlock_therapy *therapy, const uint8_t secret[32], medlock_bytes credential)
{
    node->dice = node->address.bytes[0];
    memset(node->flash, 0xff, sizeof node->flash);
    memcpy(node->secrets[MEDLOCK_KEY_NEXT], secret, 32);
    node->has_secret[MEDLOCK_KEY_NEXT] = 1;
    /* [start] */
    medlock_platform platform = {
        .user = node,
        .flash = node->flash,
        .flash_pages = PAGES,
        .flash_program = flash_program,
        .flash_erase = flash_erase,
        .random = draw,
        .key_public = key_public,
        .key_sign = key_sign,
        .key_agree = key_agree,
        .key_generate_next = key_generate_next,
        .key_promote_next = key_promote_next,
    };
    medlock_settings settings = {
        .object_pages = OBJECT_PAGES,
        .slot_pages = 1,
        .staging = node->staging,
        .staging_length = sizeof node->staging,
        .therapy = therapy,
    };
    if (therapy != NULL) {
        check(medlock_journal_format(&platform, therapy), "format the journal, once in the device's life");
    }
    check(medlock_start(node->memory, sizeof node->memory, &platform, &settings, now_ms, &node->device), "start");
    check(medlock_pin_site(node->device, SITE_ROOT, 0), "pin the site");
    check(medlock_take_object(node->device, now_ms, SITE_LIST, sizeof SITE_LIST, NULL), "take the list");
    check(medlock_take_object(node->device, now_ms, SITE_STATUS, sizeof SITE_STATUS, NULL), "take the status");
    check(medlock_install_credential(node->device, &credential, 1), "install the credential");
    check(medlock_set_time(node->device, now_ms, SITE_TIME, SITE_TIME), "set the time");
    /* [start] */
}

/* The link: datagrams on their way. */
static struct datagram {
    struct node *to;
    medlock_address from;
    size_t length;
    uint8_t bytes[DATAGRAM];
} air[8];

static void send_datagram(struct node *from, const medlock_output *output)
{
    for (size_t place = 0; place < sizeof air / sizeof air[0]; place++) {
        if (air[place].to == NULL) {
            air[place].to = output->address.bytes[0] == pump.address.bytes[0] ? &pump : &controller;
            air[place].from = from->address;
            air[place].length = output->length;
            memcpy(air[place].bytes, output->bytes, output->length);
            return;
        }
    }
    /* No place: it is lost. The core sends it again. */
}

/* [loop] */
/* Lets a device do all it wants to do now. */
static void run(struct node *node)
{
    uint8_t buffer[DATAGRAM];
    medlock_output output;
    for (;;) {
        check(medlock_poll(node->device, now_ms, buffer, sizeof buffer, &output), "poll");
        if (output.kind == MEDLOCK_OUTPUT_WAIT) {
            return;
        }
        if (output.kind == MEDLOCK_OUTPUT_TRANSMIT) {
            send_datagram(node, &output);
        } else {
            node->tell(&output);
        }
    }
}

/* A datagram comes, or time passes. */
static void step(void)
{
    now_ms += 10;
    for (size_t place = 0; place < sizeof air / sizeof air[0]; place++) {
        struct datagram *one = &air[place];
        if (one->to != NULL) {
            check(medlock_handle_datagram(one->to->device, now_ms, &one->from, one->bytes, one->length), "datagram");
            one->to = NULL;
        }
    }
    check(medlock_handle_timeout(controller.device, now_ms), "timeout");
    check(medlock_handle_timeout(pump.device, now_ms), "timeout");
}
/* [loop] */

static void other(const char *who, const medlock_output *output)
{
    if (output->kind != MEDLOCK_OUTPUT_NEWS) {
        char code[MEDLOCK_CODE_BYTES] = "";
        (void)medlock_code_text(output->code, code, sizeof code);
        printf("%s: output %d, why %d %s\n", who, (int)output->kind, (int)output->why, code);
    }
}

/* What runs at the pump. */
static uint32_t motor_act, motor_milliunits;
static uint64_t motor_stops_ms;

/* [pump] */
/* What the pump is told. */
static void tell_pump(const medlock_output *output)
{
    static const uint8_t STATE[] = {0x01};
    switch (output->kind) {
    case MEDLOCK_OUTPUT_CONNECTED:
        printf("pump: a session stands\n");
        break;
    case MEDLOCK_OUTPUT_ASKED: /* the peer may: the core judged it */
        printf("pump: asked for its state; operation %d is permitted\n", (int)output->operation);
        check(medlock_answer(pump.device, now_ms, output->ask, MEDLOCK_STATUS_DONE, 0, STATE, sizeof STATE), "answer");
        break;
    case MEDLOCK_OUTPUT_COMMAND: /* permitted, within limits, and recorded */
        printf("pump: delivers %u mIU\n", (unsigned)output->action.milliunits);
        motor_act = output->act;
        motor_milliunits = output->action.milliunits;
        motor_stops_ms = now_ms + 500;
        check(medlock_act_started(pump.device, now_ms, motor_act), "started");
        break;
    default:
        other("pump", output);
    }
}

static void motor(void)
{
    if (motor_act != 0 && now_ms >= motor_stops_ms) {
        check(medlock_act_done(pump.device, now_ms, motor_act, motor_milliunits, NULL), "done");
        motor_act = 0;
    }
}
/* [pump] */

/* What the controller is about. */
static uint64_t commander_memory[MEDLOCK_COMMANDER_BYTES / sizeof(uint64_t)];
static medlock_commander *commander;
static medlock_bond_record bond; /* as the pairing of the two told it */
static uint32_t session, state_call;
static uint64_t bolus, ask_again_ms;
static int finished;

/* [sealed] */
static void post(int32_t resource, const uint8_t *sealed, size_t length)
{
    uint32_t call;
    check(medlock_call(controller.device, now_ms, session, MEDLOCK_METHOD_POST, resource, sealed, length, &call), "post");
}

/* Asks for a challenge: a command can be sealed only with a fresh one. */
static void begin_bolus(void)
{
    uint8_t sealed[MEDLOCK_SEALED_BYTES];
    size_t length;
    medlock_memory remembered = {0, 0, 0}; /* a new bond */
    check(medlock_commander_start(commander_memory, sizeof commander_memory, controller.device, session, bond.epoch,
                                  &remembered, &commander), "commander");
    check(medlock_commander_ask_challenge(commander, sealed, sizeof sealed, &length), "ask");
    post(MEDLOCK_RESOURCE_CHALLENGE, sealed, length);
}

static void hear_pump(const medlock_output *output)
{
    static const medlock_action BOLUS = {
        .kind = MEDLOCK_ACTION_BOLUS,
        .milliunits = 1500,
        .bound_milliunits = 4000, /* this controller never commands more at once */
        .concentration_units_per_ml = 100,
    };
    uint8_t sealed[MEDLOCK_SEALED_BYTES];
    size_t length;
    medlock_told told;
    medlock_memory remember;
    if (output->status != MEDLOCK_STATUS_DONE || output->length > sizeof sealed) {
        printf("controller: refused with 4.%02d\n", (int)output->detail);
        exit(1);
    }
    memcpy(sealed, output->bytes, output->length);
    check(medlock_commander_open(commander, sealed, output->length, &told), "open");
    if (told.kind == MEDLOCK_TOLD_READY) {
        check(medlock_commander_command(commander, &BOLUS, NULL, sealed, sizeof sealed, &length, &bolus), "seal");
        check(medlock_commander_memory(commander, &remember), "remember");
        /* A controller writes `remember` to its flash here, before it sends. */
        post(MEDLOCK_RESOURCE_COMMAND, sealed, length);
    } else if (told.receipt.outcome == MEDLOCK_OUTCOME_STARTED) {
        printf("controller: the bolus is under way\n");
        ask_again_ms = now_ms + 1000;
    } else {
        printf("controller: outcome %d, %u mIU delivered\n", (int)told.receipt.outcome,
               (unsigned)told.receipt.milliunits);
        finished = 1;
    }
}

static void ask_again(void)
{
    if (ask_again_ms != 0 && now_ms >= ask_again_ms) {
        uint8_t sealed[MEDLOCK_SEALED_BYTES];
        size_t length;
        ask_again_ms = 0;
        check(medlock_commander_ask_receipt(commander, bolus, sealed, sizeof sealed, &length), "ask");
        post(MEDLOCK_RESOURCE_RECEIPT, sealed, length);
    }
}
/* [sealed] */

/* [controller] */
/* What the controller is told. */
static void tell_controller(const medlock_output *output)
{
    medlock_identity peer;
    medlock_verdict verdict;
    char code[MEDLOCK_CODE_BYTES] = "";
    switch (output->kind) {
    case MEDLOCK_OUTPUT_CONNECTED:
        session = output->peer;
        check(medlock_identify(controller.device, session, &peer), "identify");
        check(medlock_judge(controller.device, now_ms, session, MEDLOCK_TREAT, &verdict), "judge");
        check(medlock_code_text(verdict.code, code, sizeof code), "code");
        printf("controller: session with %s; if it asked to treat: %s\n", peer.name, verdict.allowed ? "yes" : code);
        check(medlock_call(controller.device, now_ms, session, MEDLOCK_METHOD_GET, MEDLOCK_RESOURCE_STATE, NULL, 0,
                           &state_call), "call");
        break;
    case MEDLOCK_OUTPUT_ANSWERED:
        if (output->call == state_call) {
            printf("controller: the pump's state has %u byte\n", (unsigned)output->length);
            state_call = 0;
            begin_bolus();
        } else {
            hear_pump(output);
        }
        break;
    default:
        other("controller", output);
    }
}
/* [controller] */

int main(void)
{
    static const uint8_t PATIENT[16] = {7};
    uint8_t controller_id[16];
    controller.tell = tell_controller;
    pump.tell = tell_pump;
    start(&controller, NULL, CONTROLLER_SECRET, (medlock_bytes){CONTROLLER_CREDENTIAL, sizeof CONTROLLER_CREDENTIAL});
    start(&pump, &THERAPY, PUMP_SECRET, (medlock_bytes){PUMP_CREDENTIAL, sizeof PUMP_CREDENTIAL});
    /* [bond] */
    /* The driver of the pump's button does this, when a person holds it. */
    check(medlock_device_id("controller-1", controller_id), "name");
    check(medlock_bond(pump.device, now_ms, MEDLOCK_BUTTON_WAS_HELD, controller_id, PATIENT,
                       1u << MEDLOCK_TREAT | 1u << MEDLOCK_HALT, &bond), "bond");
    check(medlock_connect(controller.device, now_ms, &pump.address), "connect");
    while (!finished && now_ms < 60000) {
        run(&controller);
        run(&pump);
        step();
        motor();
        ask_again();
    }
    /* [bond] */
    check(medlock_commander_stop(commander), "stop");
    check(medlock_stop(controller.device), "stop");
    check(medlock_stop(pump.device), "stop");
    return finished ? 0 : 1;
}
