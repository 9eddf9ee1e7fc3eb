/*
 * Medlock for devices: identity, sessions, verdicts and sealed commands, for firmware in C99 or C++.
 *
 * A device is a state machine without heap, clock, sockets or threads. Three calls move it: medlock_handle_datagram,
 * medlock_handle_timeout, and medlock_poll until that says MEDLOCK_OUTPUT_WAIT. docs/device-sdk.md shows how.
 *
 * Rules for all functions:
 * - They answer MEDLOCK_OK or one of MEDLOCK_ERROR_…; what else is told goes where a pointer says. If they answer
 *   an error, nothing happened, unless it says otherwise here.
 * - A pointer may be null only where it says so, or with a length of 0. Pointers to structs and numbers are aligned.
 * - One thread at a time, and not from inside a function of the platform (MEDLOCK_ERROR_INSIDE).
 * - now_ms: milliseconds since boot; never less than in an earlier call.
 * - Times are seconds since 1970-01-01T00:00:00Z. Insulin is in milliunits: 1000 are one international unit.
 * - Identifiers have 16 bytes. Handles (peer, call, ask, act) are numbers other than 0; stale ones are refused.
 */
#ifndef MEDLOCK_DEVICE_H
#define MEDLOCK_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- What functions answer ------------------------------------------------------------------------------------- */

enum {
    MEDLOCK_OK = 0,
    MEDLOCK_ERROR_NULL = 1,           /* a pointer is null or not aligned */
    MEDLOCK_ERROR_VALUE = 2,          /* a value is none of those that are allowed */
    MEDLOCK_ERROR_MEMORY = 3,         /* memory or buffer too small, or not aligned */
    MEDLOCK_ERROR_INSIDE = 4,         /* called from inside a function of the platform */
    MEDLOCK_ERROR_STOPPED = 5,        /* no device or commander, or one that was stopped */
    MEDLOCK_ERROR_LAYOUT = 6,         /* the pages do not fit the flash */
    MEDLOCK_ERROR_KEYS = 7,           /* the key store failed */
    MEDLOCK_ERROR_JOURNAL = 8,        /* the journal cannot be read or written, or was never formatted */
    MEDLOCK_ERROR_FULL = 9,           /* no room now: poll, and try again */
    MEDLOCK_ERROR_CLOSED = 10,        /* the session ended, or nobody waits for this any more */
    MEDLOCK_ERROR_TOO_LONG = 11,      /* more bytes than there is room for */
    MEDLOCK_ERROR_NO_CREDENTIAL = 12, /* the device has no credential: enrol it */
    MEDLOCK_ERROR_NO_THERAPY = 13,    /* started without therapy: it takes no commands */
    MEDLOCK_ERROR_NO_OBJECT = 14,     /* the bytes are no trust object */
    MEDLOCK_ERROR_NOT_PINNED = 15,    /* nobody said whose list to believe */
    MEDLOCK_ERROR_NO_SITE_LIST = 16,  /* the site's list, which names the signers, is not held */
    MEDLOCK_ERROR_PHYSICAL_ACT = 17,  /* only a physical act may do this */
    MEDLOCK_ERROR_NOT_NEWER = 18,     /* what is held is as new, or newer */
    MEDLOCK_ERROR_NOT_BELIEVED = 19,  /* signature or content of the object are not believed */
    MEDLOCK_ERROR_UNIDENTIFIED = 20,  /* the chain leads to no authority that is known */
    MEDLOCK_ERROR_NOT_OURS = 21,      /* no operational credential for a key of this device */
    MEDLOCK_ERROR_FLASH = 22,         /* the flash failed; what was to be written may be there */
    MEDLOCK_ERROR_USED_UP = 23,       /* numbers or keys are used up: make a new session or bond */
    MEDLOCK_ERROR_NO_CHALLENGE = 24,  /* ask for a challenge first */
    MEDLOCK_ERROR_UNKNOWN = 25,       /* what came of an earlier command is unknown: ask for its receipt first */
    MEDLOCK_ERROR_MALFORMED = 26,     /* no sealed message */
    MEDLOCK_ERROR_FORGED = 27,        /* changed, or made with other keys */
    MEDLOCK_ERROR_REPLAYED = 28,      /* it came before, or was overtaken */
    MEDLOCK_ERROR_NOT_ASKED = 29,     /* it answers nothing that is asked */
    MEDLOCK_ERROR_OTHER_DEVICE = 30,  /* it is about another device */
    MEDLOCK_ERROR_OTHER_OWNER = 31,   /* it names another owner */
    MEDLOCK_ERROR_EXPIRED = 32        /* its time is over */
};

/* ---- Sizes ------------------------------------------------------------------------------------------------------- */

enum {
    MEDLOCK_PAGE_BYTES = 4096,    /* a page: what is erased at once. Smaller pages of a chip are erased together */
    MEDLOCK_WORD_BYTES = 16,      /* a word: what is programmed at once. Smaller words of a chip are programmed in turn */
    MEDLOCK_SESSIONS = 3,         /* peers at once */
    MEDLOCK_EXCHANGES = 4,        /* requests under way, in both directions together */
    MEDLOCK_MESSAGE_BYTES = 640,  /* the longest message */
    MEDLOCK_DEVICE_BYTES = 16384, /* enough memory for a device, on every processor; medlock_device_size() is exact */
    MEDLOCK_COMMANDER_BYTES = 512,
    MEDLOCK_SEALED_BYTES = 112,   /* the longest sealed message */
    MEDLOCK_ADDRESS_BYTES = 19,
    MEDLOCK_NAME_BYTES = 65,      /* the longest name of a device, and a zero */
    MEDLOCK_CODE_BYTES = 32,      /* the longest code as text, and a zero */
    MEDLOCK_CHAIN = 4,            /* the most certificates of a chain */
    MEDLOCK_POINT_BYTES = 65      /* a public key on P-256 as a point: 4, x, y */
};

/* A time that is not known. */
#define MEDLOCK_TIME_UNKNOWN INT64_MAX
/* medlock_output.wait_until_ms if nothing is waited for. */
#define MEDLOCK_FOREVER UINT64_MAX

/* ---- What the firmware gives -------------------------------------------------------------------------------------- */

/* What a function of the platform answers. */
enum {
    MEDLOCK_PLATFORM_DONE = 0,
    MEDLOCK_PLATFORM_EMPTY = 1, /* of keys: the slot is empty */
    MEDLOCK_PLATFORM_FAILED = 2
};

/* The device's own keys, on P-256. */
enum {
    MEDLOCK_KEY_BIRTH = 0,       /* of the birth credential: made once, never leaves */
    MEDLOCK_KEY_OPERATIONAL = 1, /* of the credential in use */
    MEDLOCK_KEY_NEXT = 2         /* of the credential that is being asked for */
};

/*
 * Flash, random numbers and keys. The struct is copied; what it points to stays until the device is stopped.
 *
 * Flash: the pages that are the SDK's, seen among the addresses. Offsets count bytes from the first page. Erased bytes are
 * 0xff; each word is programmed at most once between erasures. Power may go at any instant: what was cut may hold any
 * mixture, what returned MEDLOCK_PLATFORM_DONE is durable, and nothing else changes the pages while the device runs.
 */
typedef struct medlock_platform {
    void *user;           /* given to each function; may be null */
    const uint8_t *flash; /* the first byte of the first page */
    size_t flash_pages;
    /* Reads; null: as it lies at `flash`. For flash that must not be read plainly where a write was torn. */
    int32_t (*flash_read)(void *user, size_t offset, uint8_t *to, size_t length);
    /* Programs whole words: offset and length are multiples of MEDLOCK_WORD_BYTES. */
    int32_t (*flash_program)(void *user, size_t offset, const uint8_t *bytes, size_t length);
    /* Erases one page. */
    int32_t (*flash_erase)(void *user, size_t page);
    /* Draws random bytes. It blocks until there is entropy, and cannot fail: without entropy do not start. */
    void (*random)(void *user, uint8_t *bytes, size_t length);
    /* Writes the public key of a slot: a compressed point. If public_key is null, it only answers whether there is one. */
    int32_t (*key_public)(void *user, int32_t slot, uint8_t public_key[33]);
    /* Signs a SHA-256 with ECDSA: r and s, 32 bytes each, big-endian. */
    int32_t (*key_sign)(void *user, int32_t slot, const uint8_t digest[32], uint8_t signature[64]);
    /* Diffie-Hellman with the point that has this x-coordinate (either of the two): the x-coordinate of the result. */
    int32_t (*key_agree)(void *user, int32_t slot, const uint8_t public_x[32], uint8_t shared_x[32]);
    /* Makes a new key in MEDLOCK_KEY_NEXT, in place of one that may be there. */
    int32_t (*key_generate_next)(void *user);
    /* Moves MEDLOCK_KEY_NEXT to MEDLOCK_KEY_OPERATIONAL, in one step that power loss cannot halve. */
    int32_t (*key_promote_next)(void *user);
} medlock_platform;

/* Bytes that the firmware has. */
typedef struct medlock_bytes {
    const uint8_t *bytes;
    size_t length;
} medlock_bytes;

/* Where a device is used. */
enum {
    MEDLOCK_HOME = 0,
    MEDLOCK_HOSPITAL = 1
};

/* How a device authenticates when it begins a handshake: EDHOC's methods (RFC 9528 section 3.2). It answers any. */
enum {
    MEDLOCK_SIGN_SIGN = 0,
    MEDLOCK_SIGN_STATIC = 1,
    MEDLOCK_STATIC_SIGN = 2,
    MEDLOCK_STATIC_STATIC = 3
};

/* What the device does by command, and no more. */
typedef struct medlock_limits {
    uint64_t challenge_age_ms;           /* how long a carrier may hold a command back; at most 120000 counts */
    uint32_t bolus_milliunits;           /* the largest bolus */
    uint32_t basal_milliunits_per_hour;  /* the highest temporary rate */
    uint32_t window_milliunits;          /* the most by command within the window */
    uint32_t window_halts;               /* the most halts within the window */
    uint16_t concentration_units_per_ml; /* the insulin the device holds: 100, 200, … */
    uint16_t basal_minutes;              /* the longest temporary basal */
    uint16_t window_minutes;
    uint16_t halt_minutes;               /* the longest suspension or reduction */
    uint16_t lease_minutes;              /* how long a lease lasts without being sustained */
} medlock_limits;

/* For a device that delivers therapy: the pages of its journal, at least two banks, and its limits. */
typedef struct medlock_therapy {
    size_t first_page;
    size_t pages;
    size_t bank_pages;
    medlock_limits limits;
} medlock_therapy;

/*
 * What a firmware says of itself. Zeros are good for all that is not there. What it points to stays until the device is
 * stopped, but for `therapy` and `alliance_root`, which are copied.
 */
typedef struct medlock_settings {
    size_t object_first_page; /* pages for trust objects, credential, bonds, the floor of time */
    size_t object_pages;
    size_t slot_pages;        /* pages of one object: the largest, and 80 bytes. One slot for each, and eight more */
    const medlock_bytes *birth; /* the birth credential's chain, leaf first: X.509 or C509 */
    size_t birth_count;         /* at most MEDLOCK_CHAIN */
    const uint8_t *alliance_root; /* the key identifier of an alliance's root, 16 bytes; null: none */
    uint8_t *staging;         /* where objects are put together that come in blocks: as large as the largest */
    size_t staging_length;
    uint8_t *peers;           /* where credentials of peers are remembered, which makes handshakes small, or NULL: 25
                                 bytes and the certificates for each. A device that enrols needs it */
    size_t peers_length;
    uint8_t *body;            /* where a body of a call is kept that comes or goes in blocks, or NULL: as large as the
                                 largest */
    size_t body_length;
    const medlock_therapy *therapy; /* null: the device takes no commands */
    int64_t built;            /* when the firmware was built: the present is not before */
    int32_t setting;          /* MEDLOCK_HOME, MEDLOCK_HOSPITAL */
    int32_t method;           /* MEDLOCK_SIGN_SIGN, … */
} medlock_settings;

/* ---- Starting ------------------------------------------------------------------------------------------------------ */

/* A device, in memory of the firmware's. */
typedef struct medlock_device medlock_device;

/* Bytes and alignment of a device's memory. */
size_t medlock_device_size(void);
size_t medlock_device_alignment(void);

/* Makes an empty journal. Done once, by the maker of the device. ERROR_LAYOUT, ERROR_FLASH. */
int32_t medlock_journal_format(const medlock_platform *platform, const medlock_therapy *therapy);

/*
 * Starts a device with what its flash holds. Sessions, challenges and leases begin anew. The memory is the device's until
 * it is stopped, and does not move. ERROR_MEMORY, ERROR_VALUE, ERROR_LAYOUT, ERROR_KEYS, ERROR_JOURNAL.
 */
int32_t medlock_start(void *memory, size_t memory_length, const medlock_platform *platform,
                      const medlock_settings *settings, uint64_t now_ms, medlock_device **device);

/* Ends a device: keys of sessions are erased. The memory is the firmware's again. */
int32_t medlock_stop(medlock_device *device);

/* ---- The core ------------------------------------------------------------------------------------------------------ */

/* What a peer is asked for. */
enum {
    MEDLOCK_RESOURCE_OBJECTS = 0,   /* trust objects; the core answers */
    MEDLOCK_RESOURCE_READINGS = 1,  /* measurements; the firmware answers */
    MEDLOCK_RESOURCE_STATE = 2,     /* what the device does now; the firmware answers */
    MEDLOCK_RESOURCE_LEASE = 3,     /* keep a lease alive; the core answers, as all that follow */
    MEDLOCK_RESOURCE_CHALLENGE = 4,
    MEDLOCK_RESOURCE_COMMAND = 5,
    MEDLOCK_RESOURCE_RECEIPT = 6,
    MEDLOCK_RESOURCE_AUTHORITY_CERTIFICATES = 7, /* at a hub, as all that follow */
    MEDLOCK_RESOURCE_ENROL = 8,
    MEDLOCK_RESOURCE_RENEW = 9,
    MEDLOCK_RESOURCE_RECORDS = 10 /* what was measured and delivered, in CBOR: docs/sealed-command.md, Records */
};

enum {
    MEDLOCK_METHOD_GET = 0,
    MEDLOCK_METHOD_OBSERVE = 1, /* what is there, and again whenever it changes */
    MEDLOCK_METHOD_POST = 2
};

/* What an answer says: the class of its CoAP code, whose detail is told beside it. */
enum {
    MEDLOCK_STATUS_DONE = 0,
    MEDLOCK_STATUS_REFUSED = 4,
    MEDLOCK_STATUS_FAILED = 5
};

/* Operations: what may be permitted. In a set, `1 << operation` stands for one. */
enum {
    MEDLOCK_READ = 0,
    MEDLOCK_REPORT = 1,  /* readings that are shown and recorded, marked */
    MEDLOCK_INFORM = 2,  /* readings that automatic therapy may rest on */
    MEDLOCK_SUSTAIN = 3, /* keep a lease; never starts or raises delivery */
    MEDLOCK_TREAT = 4,
    MEDLOCK_HALT = 5,
    MEDLOCK_CONFIGURE = 6,
    MEDLOCK_RENEW = 7,
    MEDLOCK_STORE = 8
};

/* Acts of sealed commands. */
enum {
    MEDLOCK_ACTION_BOLUS = 0,           /* milliunits, concentration, bound */
    MEDLOCK_ACTION_TEMPORARY_BASAL = 1, /* milliunits_per_hour, minutes, concentration, bound */
    MEDLOCK_ACTION_RESUME = 2,
    MEDLOCK_ACTION_SUSPEND = 3,         /* minutes */
    MEDLOCK_ACTION_REDUCE = 4,          /* percent, minutes */
    MEDLOCK_ACTION_SET = 5              /* setting, value */
};

/* An act. Fields that do not belong to its kind are 0. */
typedef struct medlock_action {
    int32_t kind;                        /* MEDLOCK_ACTION_… */
    uint32_t milliunits;                 /* how much */
    uint32_t milliunits_per_hour;        /* the rate in place of the programmed one */
    uint32_t bound_milliunits;           /* the most the sender ever commands in one such act */
    uint32_t value;                      /* of a setting of the device's own */
    uint16_t setting;
    uint16_t concentration_units_per_ml; /* another than the device holds is refused */
    uint16_t minutes;                    /* then the programme goes on by itself */
    uint16_t percent;                    /* what of the programmed basal goes on: 1 to 100 */
} medlock_action;

/* A peer's address: bytes that only the transport understands. */
typedef struct medlock_address {
    uint8_t length; /* at most MEDLOCK_ADDRESS_BYTES */
    uint8_t bytes[19];
} medlock_address;

/* Why no session came about, or a call ends without an answer. */
enum {
    MEDLOCK_FAILURE_TIMED_OUT = 0,
    MEDLOCK_FAILURE_UNIDENTIFIED = 1, /* the peer could not prove who it is */
    MEDLOCK_FAILURE_HANDSHAKE = 2,    /* it broke the handshake off, or sent what cannot be right */
    MEDLOCK_FAILURE_CLOSED = 3,
    MEDLOCK_FAILURE_NO_CREDENTIAL = 4,
    MEDLOCK_FAILURE_KEYS = 5,
    MEDLOCK_FAILURE_TOO_LONG = 6      /* the answer is longer than the room for it */
};

/* Why a session ended. */
enum {
    MEDLOCK_CLOSING_OWN = 0,      /* medlock_close */
    MEDLOCK_CLOSING_REPLACED = 1, /* the peer made a new one */
    MEDLOCK_CLOSING_EVICTED = 2,  /* its place was needed */
    MEDLOCK_CLOSING_LOST = 3,     /* the peer no longer knows it: connect again */
    MEDLOCK_CLOSING_JUDGED = 4,   /* what is known now leaves the peer nothing; `code` says why */
    MEDLOCK_CLOSING_USED_UP = 5
};

/* Kinds of trust objects. */
enum {
    MEDLOCK_OBJECT_SITE_LIST = 0,
    MEDLOCK_OBJECT_ALLIANCE_LIST = 1,
    MEDLOCK_OBJECT_STATUS = 2,
    MEDLOCK_OBJECT_TICKET = 3,
    MEDLOCK_OBJECT_POLICY = 4,
    MEDLOCK_OBJECT_BOND = 5,
    MEDLOCK_OBJECT_SUSPENSION = 6
};

/* What medlock_poll tells, and which fields are set. */
enum {
    MEDLOCK_OUTPUT_TRANSMIT = 0,      /* send bytes to address, then poll again */
    MEDLOCK_OUTPUT_WAIT = 1,          /* nothing more; call medlock_handle_timeout at wait_until_ms */
    MEDLOCK_OUTPUT_CONNECTED = 2,     /* peer, device, initiated */
    MEDLOCK_OUTPUT_NOT_CONNECTED = 3, /* address, why (MEDLOCK_FAILURE_…) */
    MEDLOCK_OUTPUT_CLOSED = 4,        /* peer, device, why (MEDLOCK_CLOSING_…), code */
    MEDLOCK_OUTPUT_ASKED = 5,         /* ask, peer, device, resource, operation, code (mark), alert, bytes: it may; answer */
    MEDLOCK_OUTPUT_DENIED = 6,        /* peer (0: no session), device, operation, code: it was told so */
    MEDLOCK_OUTPUT_ANSWERED = 7,      /* call, peer, status, detail, bytes */
    MEDLOCK_OUTPUT_READINGS = 8,      /* call, peer, device, operation (inform or report), code (mark), alert, bytes */
    MEDLOCK_OUTPUT_UNANSWERED = 9,    /* call, why (MEDLOCK_FAILURE_…) */
    MEDLOCK_OUTPUT_ENROLLED = 10,     /* device: who this one is at its site */
    MEDLOCK_OUTPUT_NOT_ENROLLED = 11, /* why (MEDLOCK_ERROR_…); the credential in use stays in use */
    MEDLOCK_OUTPUT_COMMAND = 12,      /* act, action, counter, device, operation, code (mark), alert: its intent is in
                                         flash; say medlock_act_started or medlock_act_unable */
    MEDLOCK_OUTPUT_UNCERTAIN = 13,    /* counter, action, operation: power went meanwhile. It counts as delivered; tell
                                         people */
    MEDLOCK_OUTPUT_LEASE_ENDED = 14,  /* the controller that treated fell silent: end what it began */
    MEDLOCK_OUTPUT_NEWS = 15,         /* object: it was believed, and every session judged again */
    MEDLOCK_OUTPUT_CARRIED = 16,      /* call, address, status, detail, bytes: an answer without a session; it has to
                                         prove itself */
    MEDLOCK_OUTPUT_FOLLOWED = 17,     /* call: who was asked has no newer list of the site */
    MEDLOCK_OUTPUT_NOT_FOLLOWED = 18  /* call, why (MEDLOCK_ERROR_…): a list is not taken; what is held stays in force */
};

typedef struct medlock_output {
    int32_t kind;           /* MEDLOCK_OUTPUT_… */
    int32_t why;
    int32_t code;           /* MEDLOCK_CODE_… of a denial, or the mark of what is permitted; 0: none */
    int32_t operation;      /* what was asked or is permitted, once */
    int32_t resource;
    int32_t status;         /* MEDLOCK_STATUS_… */
    int32_t detail;         /* of a CoAP code: 0 to 31 */
    int32_t object;
    int32_t alert;          /* 1: people must be told */
    int32_t initiated;      /* 1: this device began */
    uint32_t peer;          /* a session */
    uint32_t call;          /* what this device asks */
    uint32_t ask;           /* what a peer asks */
    uint32_t act;           /* what a controller commands */
    uint64_t wait_until_ms; /* MEDLOCK_FOREVER: until a datagram comes */
    uint64_t counter;       /* the number of a command under its bond */
    medlock_action action;
    uint8_t device[16];     /* who */
    medlock_address address;
    const uint8_t *bytes;   /* a datagram or payload, in the buffer that was given; null if there is none */
    size_t length;
} medlock_output;

/* Takes a datagram, which is changed while it is read. Noise is counted and dropped. */
int32_t medlock_handle_datagram(medlock_device *device, uint64_t now_ms, const medlock_address *from,
                                uint8_t *datagram, size_t length);

/* Does what is due. */
int32_t medlock_handle_timeout(medlock_device *device, uint64_t now_ms);

/*
 * The next thing to do. Poll after each other call, until it says MEDLOCK_OUTPUT_WAIT. The buffer has at least
 * MEDLOCK_MESSAGE_BYTES, and holds what the output points to until it is used again. ERROR_MEMORY.
 */
int32_t medlock_poll(medlock_device *device, uint64_t now_ms, uint8_t *buffer, size_t length, medlock_output *output);

/* Begins a handshake; CONNECTED or NOT_CONNECTED follows. ERROR_FULL, ERROR_NO_CREDENTIAL, ERROR_KEYS. */
int32_t medlock_connect(medlock_device *device, uint64_t now_ms, const medlock_address *to);

/* Ends a session; CLOSED follows. */
int32_t medlock_close(medlock_device *device, uint32_t peer);

/* Asks a peer; ANSWERED, READINGS, DENIED or UNANSWERED follows. ERROR_FULL, ERROR_CLOSED, ERROR_TOO_LONG. */
int32_t medlock_call(medlock_device *device, uint64_t now_ms, uint32_t peer, int32_t method, int32_t resource,
                     const uint8_t *payload, size_t length, uint32_t *call);

/*
 * Begins a handshake and makes the first request, which goes with it and saves a round trip; what follows medlock_connect
 * and then medlock_call follows. ERROR_FULL, ERROR_NO_CREDENTIAL, ERROR_KEYS, ERROR_TOO_LONG.
 */
int32_t medlock_connect_with(medlock_device *device, uint64_t now_ms, const medlock_address *to, int32_t method,
                             int32_t resource, const uint8_t *payload, size_t length, uint32_t *call);

/*
 * Asks whoever is at an address, without a session, for what proves itself: trust objects, sealed commands that are
 * carried. `query` has at most 7 characters, or is NULL: "o=1" is the second object that is held. CARRIED or UNANSWERED
 * follows. ERROR_FULL, ERROR_TOO_LONG.
 */
int32_t medlock_call_openly(medlock_device *device, uint64_t now_ms, const medlock_address *to, int32_t method,
                            int32_t resource, const char *query, const uint8_t *payload, size_t length, uint32_t *call);

/*
 * Fetches the site's list from a hub, without a session: those first that were missed while the root of the site was
 * replaced, then the newest. NEWS for each, and then FOLLOWED, NOT_FOLLOWED, CARRIED with what else was answered, or
 * UNANSWERED. After a loss of power the next call goes on there. ERROR_FULL.
 */
int32_t medlock_follow_site(medlock_device *device, uint64_t now_ms, const medlock_address *hub, uint32_t *call);

/* Gives a call up, or an observation. */
int32_t medlock_cancel(medlock_device *device, uint32_t call);

/* Answers a peer's request (ASKED), once. `detail` is 0 with MEDLOCK_STATUS_DONE. ERROR_CLOSED, ERROR_TOO_LONG. */
int32_t medlock_answer(medlock_device *device, uint64_t now_ms, uint32_t ask, int32_t status, int32_t detail,
                       const uint8_t *payload, size_t length);

/* Gives all who observe a resource its new state; each is judged before. */
int32_t medlock_notify(medlock_device *device, uint64_t now_ms, int32_t resource, const uint8_t *payload,
                       size_t length);

/*
 * Asks the hub at the other end of a session for a credential, the first or a renewed one; ENROLLED, NOT_ENROLLED,
 * ANSWERED with a refusal, or UNANSWERED follows. `code`: the site's enrolment code, at most 96 bytes and a zero, or null.
 * ERROR_UNIDENTIFIED: the peer does not have the role of a hub.
 */
int32_t medlock_enrol(medlock_device *device, uint64_t now_ms, uint32_t hub, const char *code, uint32_t *call);

/* What was dropped since the start. */
typedef struct medlock_counters {
    uint32_t noise;      /* no CoAP, or belonging to nothing */
    uint32_t forged;     /* forged, or come a second time */
    uint32_t handshakes; /* handshakes that came to nothing, or were too many */
    uint32_t crowded;    /* no room */
} medlock_counters;
int32_t medlock_counters_read(medlock_device *device, medlock_counters *counters);

/* ---- Whom a device believes, and what it lets a peer do -------------------------------------------------------------- */

/* A person held the button. Only the driver of the button says so, once for each act. */
enum {
    MEDLOCK_BUTTON_WAS_HELD = 0x48454c44
};

/*
 * Says whose device it is: the identifier of the site's root key, 16 bytes. danger_physical_act is 0, or
 * MEDLOCK_BUTTON_WAS_HELD: a device that has a site takes another by a physical act alone, and forgets the first.
 */
int32_t medlock_pin_site(medlock_device *device, const uint8_t root[16], int32_t danger_physical_act);

/*
 * Takes the site that a voucher of the device's maker names (RFC 8366), whoever brings it. `nonce`: what the device asked
 * with, or null. `maker`: the maker's voucher key, MEDLOCK_POINT_BYTES that the firmware knows. danger_physical_act as above.
 * ERROR_NOT_BELIEVED, ERROR_OTHER_DEVICE, ERROR_OTHER_OWNER, ERROR_NOT_ASKED (another nonce), ERROR_EXPIRED, ERROR_NOT_NEWER (a
 * newer word about the owner was believed), ERROR_PHYSICAL_ACT, ERROR_NO_CREDENTIAL, ERROR_FLASH.
 */
int32_t medlock_take_voucher(medlock_device *device, uint64_t now_ms, const uint8_t *voucher, size_t length,
                             const medlock_bytes *nonce, const uint8_t *maker, int32_t danger_physical_act);

/* Takes the site of the next owner, to whom the owner of today transfers the device: it works where the maker is gone.
 * `owner`: the SubjectPublicKeyInfo of the root of the owner of today. Errors as above. */
int32_t medlock_take_transfer(medlock_device *device, uint64_t now_ms, const uint8_t *transfer, size_t length,
                              const uint8_t *owner, size_t owner_length, int32_t danger_physical_act);

/* Whether nobody believes this device any more because the key that issued its credential is in wrong hands: `lost` is 1 or
 * 0. Ask it at NEWS; then connect with the hub and enrol. */
int32_t medlock_lost_its_issuer(medlock_device *device, uint64_t now_ms, int32_t *lost);

/*
 * Takes a list, status list, ticket, policy or bond, whoever brings it; NEWS follows. It is believed for its own
 * signatures. `kind` gets MEDLOCK_OBJECT_…; null: not wanted. ERROR_NO_OBJECT, ERROR_NOT_PINNED, ERROR_NO_SITE_LIST,
 * ERROR_NOT_NEWER, ERROR_NOT_BELIEVED, ERROR_FULL, ERROR_TOO_LONG, ERROR_FLASH.
 */
int32_t medlock_take_object(medlock_device *device, uint64_t now_ms, const uint8_t *object, size_t length,
                            int32_t *kind);

/* Installs an operational credential, leaf first, for the key in MEDLOCK_KEY_NEXT or in use. ERROR_UNIDENTIFIED,
 * ERROR_NOT_OURS, ERROR_KEYS, ERROR_FLASH. */
int32_t medlock_install_credential(medlock_device *device, const medlock_bytes *chain, size_t count);

/* Says what time it is, as a clock tells that the maker answers for. latest: MEDLOCK_TIME_UNKNOWN if not known. */
int32_t medlock_set_time(medlock_device *device, uint64_t now_ms, int64_t earliest, int64_t latest);

/* The bounds of the present, as far as they are known. */
int32_t medlock_time(medlock_device *device, uint64_t now_ms, int64_t *earliest, int64_t *latest);

/* Draws a number for a ticket to answer: it then tells how things stand now. */
int32_t medlock_ask(medlock_device *device, uint64_t now_ms, uint8_t nonce[8]);

/* Who this device is at its site. ERROR_NO_CREDENTIAL before enrolment. */
int32_t medlock_own_id(medlock_device *device, uint8_t id[16]);

/* The identifier of the device with this name: at most 64 bytes and a zero. */
int32_t medlock_device_id(const char *name, uint8_t id[16]);

enum {
    MEDLOCK_CREDENTIAL_BIRTH = 0, /* good for enrolment only */
    MEDLOCK_CREDENTIAL_OPERATIONAL = 1
};

/* Who a peer is, by its credential. */
typedef struct medlock_identity {
    uint8_t device[16];
    uint8_t credential[16];
    int64_t not_before;
    int64_t not_after;       /* expiry does not end a session: it is judged */
    int32_t credential_kind; /* MEDLOCK_CREDENTIAL_… */
    uint32_t roles;          /* a bit for each role the authority gave (docs/trust-objects.md) */
    char name[65];
} medlock_identity;

/* Who the peer of a session is. ERROR_CLOSED. */
int32_t medlock_identify(medlock_device *device, uint32_t peer, medlock_identity *identity);

/* Codes: why an operation is denied, how what comes of it is marked, why a command is refused (docs/codes.md). */
enum {
    MEDLOCK_CODE_ISSUER_RETIRED = 1,
    MEDLOCK_CODE_EXPIRED_WITHIN_GRACE = 2,
    MEDLOCK_CODE_EXPIRED_BEYOND_GRACE = 3,
    MEDLOCK_CODE_STATUS_STALE = 4,
    MEDLOCK_CODE_NOT_YET_VALID = 5,
    MEDLOCK_CODE_ATTENDED = 6,
    MEDLOCK_CODE_BOND_MISSING = 7,
    MEDLOCK_CODE_ROLE_LACKS_OPERATION = 8,
    MEDLOCK_CODE_ROLE_NOT_VOUCHED = 9,
    MEDLOCK_CODE_DEVICE_TYPE_NOT_VOUCHED = 10,
    MEDLOCK_CODE_BIRTH_CREDENTIAL = 11,
    MEDLOCK_CODE_NOT_A_BIRTH_CREDENTIAL = 12,
    MEDLOCK_CODE_SUSPENDED = 13,
    MEDLOCK_CODE_ISSUER_SUSPENDED = 14,
    MEDLOCK_CODE_ISSUED_AFTER_RETIREMENT = 15,
    MEDLOCK_CODE_ISSUER_NOT_LISTED = 16,
    MEDLOCK_CODE_SUPERSEDED = 17,
    MEDLOCK_CODE_CEASED = 18,
    MEDLOCK_CODE_ISSUER_CEASED = 19,
    MEDLOCK_CODE_COMPROMISED = 20,
    MEDLOCK_CODE_ISSUER_COMPROMISED = 21,
    MEDLOCK_CODE_NAME_NOT_VOUCHED = 22,
    MEDLOCK_CODE_NOT_IN_LOG = 23,
    MEDLOCK_CODE_VOIDED = 64,        /* overtaken by a later message, or a halt */
    MEDLOCK_CODE_CHALLENGE = 65,     /* not the open challenge, used, or too old */
    MEDLOCK_CODE_STATE = 66,         /* therapy changed since */
    MEDLOCK_CODE_EPOCH = 67,         /* made under another bond */
    MEDLOCK_CODE_BUSY = 68,
    MEDLOCK_CODE_BOUND = 69,         /* more than its own bound */
    MEDLOCK_CODE_CONCENTRATION = 70,
    MEDLOCK_CODE_LIMIT = 71,         /* more than the device does by one command */
    MEDLOCK_CODE_CUMULATIVE = 72,    /* more than within the window */
    MEDLOCK_CODE_HALT_RATE = 73,
    MEDLOCK_CODE_UNSUPPORTED = 74,
    MEDLOCK_CODE_UNABLE = 75,        /* empty, blocked, out of order */
    MEDLOCK_CODE_STORAGE = 76        /* it could not be recorded, and so was not begun */
};

/* A code as text with a zero, such as "status-stale". ERROR_VALUE: no such code; ERROR_TOO_LONG. */
int32_t medlock_code_text(int32_t code, char *text, size_t length);

/* What the judge says. */
typedef struct medlock_verdict {
    int64_t since;     /* of a denial: since when it is so (for NOT_YET_VALID, until when) */
    int32_t allowed;   /* 1: the peer may, once, now */
    int32_t operation;
    int32_t code;      /* why not, or the mark to be written beside what comes of it; 0: none */
    int32_t alert;     /* 1: allowed, and people must be told */
} medlock_verdict;

/* What the peer of a session may do now, by all that is known. ERROR_VALUE, ERROR_CLOSED. */
int32_t medlock_judge(medlock_device *device, uint64_t now_ms, uint32_t peer, int32_t operation,
                      medlock_verdict *verdict);

/* The same with a physical act, which may raise a denial to an alert if all that is wrong is old knowledge. */
int32_t medlock_judge_attended(medlock_device *device, uint64_t now_ms, uint32_t peer, int32_t operation,
                               int32_t danger_physical_act, medlock_verdict *verdict);

/* A bond: this controller may command this device, for this patient. */
typedef struct medlock_bond_record {
    uint8_t controller[16];
    uint8_t patient[16];  /* drawn at random by whoever binds them; says nothing of the patient */
    uint64_t epoch;       /* which bond: it only grows */
    uint32_t operations;  /* a set */
} medlock_bond_record;

/* Makes a bond by a physical act. Where it is for another patient than those before, bonds that the site signed before and
   that nobody brought yet are void. `bond` may be null. ERROR_PHYSICAL_ACT, ERROR_FULL, ERROR_USED_UP, ERROR_FLASH. */
int32_t medlock_bond(medlock_device *device, uint64_t now_ms, int32_t danger_physical_act, const uint8_t controller[16],
                     const uint8_t patient[16], uint32_t operations, medlock_bond_record *bond);

/* Ends all bonds by a physical act, for good; also those that the site signed before and that nobody brought yet. */
int32_t medlock_end_bonds(medlock_device *device, uint64_t now_ms, int32_t danger_physical_act);

/* The bond in force at a place, from 0. ERROR_VALUE: there are no more. */
int32_t medlock_bond_at(medlock_device *device, size_t place, medlock_bond_record *bond);

/* ---- Sealed commands: the device --------------------------------------------------------------------------------------- */

/* What came of a command. */
enum {
    MEDLOCK_OUTCOME_REFUSED = 0,  /* it will not be carried out; `code` says why. Final */
    MEDLOCK_OUTCOME_STARTED = 1,  /* it is being carried out */
    MEDLOCK_OUTCOME_DONE = 2,     /* it was carried out, or ended early: `milliunits` were delivered. Final */
    MEDLOCK_OUTCOME_UNCERTAIN = 3 /* nobody knows: at most `milliunits`. Counts as delivered. Final */
};

typedef struct medlock_receipt {
    uint64_t counter;    /* which command */
    int32_t outcome;     /* MEDLOCK_OUTCOME_… */
    int32_t code;        /* of a refusal */
    int32_t mark;        /* what the verdict wrote beside it; 0: none */
    uint32_t milliunits; /* UINT32_MAX of an uncertain one: the device does not remember */
} medlock_receipt;

/* The act of COMMAND begins now; the controller gets a receipt that says so. Say medlock_act_done when it ended.
 * ERROR_CLOSED: there is no such act, or it began before. */
int32_t medlock_act_started(medlock_device *device, uint64_t now_ms, uint32_t act);

/* It could not begin: nothing was delivered and nothing counts. */
int32_t medlock_act_unable(medlock_device *device, uint64_t now_ms, uint32_t act);

/* Delivery ended, by itself or early, and this is what was delivered. `receipt` may be null: it says what was recorded. */
int32_t medlock_act_done(medlock_device *device, uint64_t now_ms, uint32_t act, uint32_t delivered_milliunits,
                         medlock_receipt *receipt);

/* A person at the device lets `controller` command `operation` once in the next two minutes, in spite of knowledge that
 * is expired, stale or missing. */
int32_t medlock_attend(medlock_device *device, uint64_t now_ms, int32_t danger_physical_act,
                       const uint8_t controller[16], int32_t operation);

/* Something changed that a controller reckons with: commands that are on their way are refused. */
int32_t medlock_therapy_changed(medlock_device *device);

/* Counts a delivery that was not commanded, such as a bolus by the buttons. If it answers ERROR_FLASH or ERROR_JOURNAL,
 * it is counted until the next boot even so. */
int32_t medlock_delivered_at_device(medlock_device *device, uint64_t now_ms, uint32_t milliunits);

/* Writes the time down, every ten minutes or so: amounts then leave the window soon after a power cut. */
int32_t medlock_checkpoint(medlock_device *device, uint64_t now_ms);

/* ---- Sealed commands: the controller ------------------------------------------------------------------------------------ */

/* A controller's end of the sealed commands of one session, in memory of the firmware's. */
typedef struct medlock_commander medlock_commander;

/* What a controller must not forget of a bond, across sessions and its own reboots. Zeros: a new bond, or all was lost.
 * Write it durably before a message is sent. */
typedef struct medlock_memory {
    uint64_t next;    /* the number of its next message */
    uint64_t unknown; /* the command of which nothing is known; 0: none */
    uint64_t bolus;   /* the bolus whose outcome is not final; 0: none */
} medlock_memory;

size_t medlock_commander_size(void);
size_t medlock_commander_alignment(void);

/* Makes the controller's end, under the bond with this epoch; once for each session. ERROR_MEMORY, ERROR_CLOSED,
 * ERROR_USED_UP: there was one in this session, or this device has no credential. */
int32_t medlock_commander_start(void *memory, size_t memory_length, medlock_device *device, uint32_t peer,
                                uint64_t epoch, const medlock_memory *remembered, medlock_commander **commander);

/* Ends it: its keys are erased. */
int32_t medlock_commander_stop(medlock_commander *commander);

/* What must be remembered from now on. */
int32_t medlock_commander_memory(medlock_commander *commander, medlock_memory *memory);

/* Seals a request for a challenge; post it to MEDLOCK_RESOURCE_CHALLENGE. Buffers for sealed
 * messages have MEDLOCK_SEALED_BYTES or more. ERROR_TOO_LONG, ERROR_USED_UP. */
int32_t medlock_commander_ask_challenge(medlock_commander *commander, uint8_t *buffer, size_t capacity, size_t *length);

/* Seals a command with the challenge at hand; post it to MEDLOCK_RESOURCE_COMMAND, or give it to any carrier. `evidence`:
 * 16 bytes that stand for the readings it rests on, or null. ERROR_NO_CHALLENGE, ERROR_UNKNOWN, ERROR_VALUE,
 * ERROR_TOO_LONG, ERROR_USED_UP. */
int32_t medlock_commander_command(medlock_commander *commander, const medlock_action *action,
                                  const uint8_t evidence[16], uint8_t *buffer, size_t capacity, size_t *length,
                                  uint64_t *counter);

/* The command with this counter once more, byte for byte. ERROR_CLOSED: it does not wait. */
int32_t medlock_commander_again(medlock_commander *commander, uint64_t counter, uint8_t *buffer, size_t capacity,
                                size_t *length);

/* Asks what came of the command with this counter; post it to MEDLOCK_RESOURCE_RECEIPT. If the device never got it, it
 * never will carry it out. */
int32_t medlock_commander_ask_receipt(medlock_commander *commander, uint64_t counter, uint8_t *buffer,
                                      size_t capacity, size_t *length);

enum {
    MEDLOCK_TOLD_READY = 0,  /* a challenge came: state, floor, and receipt of the last bolus (counter 0: none) */
    MEDLOCK_TOLD_RECEIPT = 1 /* receipt */
};

/* What a device said. */
typedef struct medlock_told {
    int32_t kind;   /* MEDLOCK_TOLD_… */
    uint32_t state; /* the version of therapy */
    uint64_t floor; /* the highest number the device took under the bond */
    medlock_receipt receipt;
} medlock_told;

/* Opens what the device sent, in place. ERROR_MALFORMED, ERROR_FORGED, ERROR_REPLAYED, ERROR_NOT_ASKED, ERROR_USED_UP. */
int32_t medlock_commander_open(medlock_commander *commander, uint8_t *message, size_t length, medlock_told *told);

/* ---- Keys in memory ------------------------------------------------------------------------------------------------------- */

/*
 * For a key store without a secure element: what key_public, key_sign and key_agree answer, made from the secret, which
 * the firmware guards. A secret is 32 bytes drawn at random. ERROR_VALUE: they are no key, draw others (once in 2^32), or
 * the public key is none. `randomness`: 32 fresh bytes against disturbances of the chip, or null.
 */
int32_t medlock_software_public(const uint8_t secret[32], uint8_t public_key[33]);
int32_t medlock_software_sign(const uint8_t secret[32], const uint8_t digest[32], const uint8_t randomness[32],
                              uint8_t signature[64]);
int32_t medlock_software_agree(const uint8_t secret[32], const uint8_t public_x[32], uint8_t shared_x[32]);

/* ---- Without an operating system -------------------------------------------------------------------------------------------- */

/* The firmware's own, if the library was built for a chip: called if the library finds itself in a state that cannot be.
 * It brings the device to a safe state and does not return. */
void medlock_panicked(void);

#ifdef __cplusplus
}
#endif

#endif
