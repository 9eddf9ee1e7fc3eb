/* The pump of the example loses power while its motor runs, and starts again with what its flash holds. */
#define main first_session
#include "../../examples/first_session.c"
#undef main

static void tell_restarted(const medlock_output *output)
{
    if (output->kind == MEDLOCK_OUTPUT_UNCERTAIN) {
        printf("uncertain: action %d, %u mIU\n", (int)output->action.kind, (unsigned)output->action.milliunits);
    } else {
        other("restarted", output);
    }
}

int main(void)
{
    static const uint8_t PATIENT[16] = {7};
    uint8_t controller_id[16], own[16];
    medlock_bond_record held;
    medlock_platform platform = {
        .user = &pump,
        .flash = pump.flash,
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
        .staging = pump.staging,
        .staging_length = sizeof pump.staging,
        .therapy = &THERAPY,
    };
    controller.tell = tell_controller;
    pump.tell = tell_pump;
    start(&controller, NULL, CONTROLLER_SECRET, (medlock_bytes){CONTROLLER_CREDENTIAL, sizeof CONTROLLER_CREDENTIAL});
    start(&pump, &THERAPY, PUMP_SECRET, (medlock_bytes){PUMP_CREDENTIAL, sizeof PUMP_CREDENTIAL});
    check(medlock_device_id("controller-1", controller_id), "name");
    check(medlock_bond(pump.device, now_ms, MEDLOCK_BUTTON_WAS_HELD, controller_id, PATIENT, 1u << MEDLOCK_TREAT, &bond),
          "bond");
    check(medlock_connect(controller.device, now_ms, &pump.address), "connect");
    while (motor_act == 0 && now_ms < 60000) {
        run(&controller);
        run(&pump);
        step();
    }
    printf("started twice: %d\n", (int)medlock_act_started(pump.device, now_ms, motor_act));
    printf("unable after that: %d\n", (int)medlock_act_unable(pump.device, now_ms, motor_act));

    check(medlock_stop(pump.device), "power goes");
    printf("done without power: %d\n", (int)medlock_act_done(pump.device, now_ms, motor_act, 1500, NULL));
    memset(pump.memory, 0, sizeof pump.memory);
    now_ms = 0;
    check(medlock_start(pump.memory, sizeof pump.memory, &platform, &settings, now_ms, &pump.device), "power comes");
    pump.tell = tell_restarted;
    run(&pump);
    printf("done after the cut: %d\n", (int)medlock_act_done(pump.device, now_ms, motor_act, 1500, NULL));
    check(medlock_own_id(pump.device, own), "the credential was kept");
    check(medlock_bond_at(pump.device, 0, &held), "the bond was kept");
    printf("the bond was kept: %d\n", memcmp(held.controller, controller_id, 16) == 0 && held.epoch == bond.epoch);
    return 0;
}
