/* One load generator for every SMTP server under test.
 *
 * N connections in one thread over epoll. Each does what an ordinary ESMTP client does: EHLO, STARTTLS where
 * asked, then MAIL, RCPT and DATA in one group where the server offers PIPELINING (RFC 2920), one by one where
 * not; the content after the 354; the next message after its reply. Messages come prebuilt, with CRLF line
 * ends and dots stuffed; a unique Message-ID is put before each. Prints one line of JSON.
 *
 * corpus file: for each message four octets little-endian length, then the octets.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum state { CONNECTING, GREETING, EHLO, STARTTLS, HANDSHAKE, ENVELOPE, FINAL, QUITTING };

struct text {
    char *data;
    size_t length;
};

struct connection {
    int fd;
    SSL *ssl;
    enum state state;
    int wants_write;     /* the TLS handshake waits for room */
    int pipelining, offers_tls;
    int replies_due;     /* of the envelope */
    int step;            /* of the envelope, without pipelining */
    long message;        /* number of the message under way; -1: none */
    long sent_here;      /* messages accepted on this connection */
    double begun, content_out;
    char *out;
    size_t out_length, out_at, out_room;
    char in[8192];
    size_t in_length;
    unsigned events;     /* as registered with epoll */
};

static const char *host = "127.0.0.1", *sender = "sender@client.example", *run_id = "0";
static int port = 25, connections = 1, use_tls = 0;
static long count = 100, per_connection = 100;
static struct text *corpus;
static long corpus_count;
static char **recipients;
static long recipient_count;
static int epoll_fd;
static SSL_CTX *tls_context;
static long next_message = 0, accepted = 0, failed = 0, bytes_sent = 0, opened = 0;
static double *final_ms, *whole_ms, started, ended;
static char failure[300];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void watch(struct connection *c) {
    unsigned events = EPOLLIN;
    if (c->state == CONNECTING || c->wants_write || c->out_at < c->out_length) events |= EPOLLOUT;
    if (events == c->events) return;
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
    c->events = events;
}

static void open_connection(struct connection *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
    c->ssl = NULL;
    c->state = CONNECTING;
    c->wants_write = c->pipelining = c->offers_tls = 0;
    c->message = -1;
    c->sent_here = 0;
    c->out_length = c->out_at = c->in_length = 0;
    c->events = 0;
    opened++;
    watch(c);
}

static void put(struct connection *c, const char *data, size_t length) {
    if (c->out_at == c->out_length) c->out_at = c->out_length = 0;
    if (c->out_length + length > c->out_room) {
        c->out_room = (c->out_length + length) * 2;
        c->out = realloc(c->out, c->out_room);
        if (!c->out) die("memory");
    }
    memcpy(c->out + c->out_length, data, length);
    c->out_length += length;
}

static void say(struct connection *c, const char *line) { put(c, line, strlen(line)); }

static void close_connection(struct connection *c) {
    if (c->ssl) SSL_free(c->ssl);
    close(c->fd);
    c->fd = -1;
}

static void retire(struct connection *c) {
    close_connection(c);
    if (next_message < count) open_connection(c);
}

static void fail(struct connection *c, const char *why) {
    if (!failure[0]) snprintf(failure, sizeof failure, "%.280s", why);
    if (c->message >= 0) failed++;
    else if (++failed > 1000) die("too many failures");
    c->message = -1;
    retire(c);
}

/* Send what is waiting; returns -1 when the connection is gone. */
static int flush_out(struct connection *c) {
    while (c->out_at < c->out_length) {
        size_t left = c->out_length - c->out_at;
        ssize_t n;
        if (c->ssl) {
            int done = SSL_write(c->ssl, c->out + c->out_at, left > 1 << 20 ? 1 << 20 : (int)left);
            if (done <= 0) {
                int error = SSL_get_error(c->ssl, done);
                if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) return 0;
                return -1;
            }
            n = done;
        } else {
            n = send(c->fd, c->out + c->out_at, left, MSG_NOSIGNAL);
            if (n < 0) return errno == EAGAIN ? 0 : -1;
        }
        c->out_at += n;
        bytes_sent += n;
    }
    if (c->state == FINAL && c->content_out == 0) c->content_out = now();
    return 0;
}

static void begin_message(struct connection *c) {
    char line[600];
    if (next_message >= count || (per_connection && c->sent_here >= per_connection)) {
        c->state = QUITTING;
        say(c, "QUIT\r\n");
        return;
    }
    c->message = next_message++;
    c->begun = now();
    c->state = ENVELOPE;
    c->step = 0;
    snprintf(line, sizeof line, "MAIL FROM:<%s>\r\n", sender);
    say(c, line);
    c->replies_due = 1;
    if (c->pipelining) {
        snprintf(line, sizeof line, "RCPT TO:<%s>\r\nDATA\r\n", recipients[c->message % recipient_count]);
        say(c, line);
        c->replies_due = 3;
    }
}

static void send_content(struct connection *c) {
    char line[200];
    struct text *text = &corpus[c->message % corpus_count];
    snprintf(line, sizeof line, "Message-ID: <%ld.%s@load.client.example>\r\n", c->message, run_id);
    say(c, line);
    put(c, text->data, text->length);
    say(c, ".\r\n");
    c->state = FINAL;
    c->content_out = 0;
}

static void start_tls(struct connection *c) {
    c->ssl = SSL_new(tls_context);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
    c->state = HANDSHAKE;
}

/* One whole reply; `last` is its last line. */
static void on_reply(struct connection *c, int code, const char *last) {
    switch (c->state) {
    case GREETING:
        if (code != 220) return fail(c, last);
        say(c, "EHLO load.client.example\r\n");
        c->state = EHLO;
        return;
    case EHLO:
        if (code != 250) return fail(c, last);
        if (use_tls && !c->ssl) {
            if (!c->offers_tls) return fail(c, "no STARTTLS offered");
            say(c, "STARTTLS\r\n");
            c->state = STARTTLS;
            return;
        }
        return begin_message(c);
    case STARTTLS:
        if (code != 220) return fail(c, last);
        return start_tls(c);
    case ENVELOPE:
        if (code != 250 && code != 354) return fail(c, last);
        if (--c->replies_due) return;
        if (code == 354) return send_content(c);
        char line[600];
        if (c->step++ == 0) {
            snprintf(line, sizeof line, "RCPT TO:<%s>\r\n", recipients[c->message % recipient_count]);
            say(c, line);
        } else {
            say(c, "DATA\r\n");
        }
        c->replies_due = 1;
        return;
    case FINAL:
        if (code != 250) return fail(c, last);
        ended = now();
        final_ms[accepted] = (ended - c->content_out) * 1e3;
        whole_ms[accepted] = (ended - c->begun) * 1e3;
        accepted++;
        c->sent_here++;
        c->message = -1;
        return begin_message(c);
    case QUITTING:
        return retire(c);
    default:
        return fail(c, "a reply out of turn");
    }
}

/* Take whole lines from the input; stops when the connection was replaced. */
static void take_lines(struct connection *c) {
    size_t at = 0;
    int fd = c->fd;
    for (;;) {
        char *end = memchr(c->in + at, '\n', c->in_length - at);
        if (!end) break;
        *end = 0;
        char *line = c->in + at;
        at = end + 1 - c->in;
        if (strlen(line) < 3) return fail(c, "a malformed reply");
        if (c->state == EHLO) {
            if (!strncmp(line + 4, "PIPELINING", 10)) c->pipelining = 1;
            if (!strncmp(line + 4, "STARTTLS", 8)) c->offers_tls = 1;
        }
        if (line[3] == '-') continue;
        long opened_before = opened;
        on_reply(c, atoi(line), line);
        if (c->fd != fd || opened != opened_before) return;
        if (c->state == HANDSHAKE) { /* nothing from before the handshake counts */
            c->in_length = 0;
            return;
        }
    }
    memmove(c->in, c->in + at, c->in_length - at);
    c->in_length -= at;
    if (c->in_length == sizeof c->in) fail(c, "a reply line too long");
}

static void on_event(struct connection *c, unsigned events) {
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) return fail(c, strerror(error));
        if (events & EPOLLOUT) c->state = GREETING;
    }
    if (c->state == HANDSHAKE) {
        int done = SSL_do_handshake(c->ssl);
        int error = done == 1 ? 0 : SSL_get_error(c->ssl, done);
        c->wants_write = error == SSL_ERROR_WANT_WRITE;
        if (done == 1) {
            say(c, "EHLO load.client.example\r\n");
            c->state = EHLO;
        } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            return fail(c, "the TLS handshake failed");
        }
    } else {
        for (;;) {
            size_t room = sizeof c->in - c->in_length;
            ssize_t n;
            if (c->ssl) {
                int done = SSL_read(c->ssl, c->in + c->in_length, (int)room);
                if (done <= 0) {
                    int error = SSL_get_error(c->ssl, done);
                    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) break;
                    if (c->state == QUITTING) return retire(c);
                    return fail(c, "the connection was closed");
                }
                n = done;
            } else {
                n = recv(c->fd, c->in + c->in_length, room, 0);
                if (n < 0 && errno == EAGAIN) break;
                if (n <= 0) {
                    if (c->state == QUITTING) return retire(c);
                    return fail(c, "the connection was closed");
                }
            }
            c->in_length += n;
            long opened_before = opened;
            take_lines(c);
            if (c->fd < 0 || opened != opened_before) return;
            if (c->state == HANDSHAKE) return on_event(c, EPOLLOUT), (void)0;
            if (!c->ssl) break;
        }
    }
    if (flush_out(c)) return fail(c, "the connection was closed while sending");
    watch(c);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double percentile(double *sorted, long n, double p) {
    if (!n) return 0;
    long at = (long)(p * (n - 1) + 0.5);
    return sorted[at];
}

static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    fseek(file, 0, SEEK_END);
    *length = ftell(file);
    rewind(file);
    char *data = malloc(*length + 1);
    if (!data || fread(data, 1, *length, file) != *length) die(path);
    data[*length] = 0;
    fclose(file);
    return data;
}

static void load_corpus(const char *path) {
    size_t length, at = 0;
    char *data = read_file(path, &length);
    while (at + 4 <= length) {
        uint32_t size;
        memcpy(&size, data + at, 4);
        corpus = realloc(corpus, (corpus_count + 1) * sizeof *corpus);
        corpus[corpus_count++] = (struct text){data + at + 4, size};
        at += 4 + size;
    }
}

static void load_recipients(const char *path) {
    size_t length;
    char *data = read_file(path, &length);
    for (char *line = strtok(data, "\n"); line; line = strtok(NULL, "\n")) {
        recipients = realloc(recipients, (recipient_count + 1) * sizeof *recipients);
        recipients[recipient_count++] = line;
    }
}

int main(int argc, char **argv) {
    static struct option options[] = {
        {"port", 1, 0, 'p'},       {"connections", 1, 0, 'n'}, {"count", 1, 0, 'c'},
        {"corpus", 1, 0, 'f'},     {"recipients", 1, 0, 'r'},  {"per-connection", 1, 0, 'm'},
        {"starttls", 0, 0, 't'},   {"run", 1, 0, 'i'},         {"from", 1, 0, 's'},
        {0, 0, 0, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'n': connections = atoi(optarg); break;
        case 'c': count = atol(optarg); break;
        case 'f': load_corpus(optarg); break;
        case 'r': load_recipients(optarg); break;
        case 'm': per_connection = atol(optarg); break;
        case 't': use_tls = 1; break;
        case 'i': run_id = optarg; break;
        case 's': sender = optarg; break;
        default: return 2;
        }
    if (!corpus_count || !recipient_count) {
        fprintf(stderr, "load: --corpus and --recipients are needed\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    tls_context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    final_ms = calloc(count, sizeof *final_ms);
    whole_ms = calloc(count, sizeof *whole_ms);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct connection *all = calloc(connections, sizeof *all);
    started = now();
    for (int i = 0; i < connections; i++) open_connection(&all[i]);
    struct epoll_event events[256];
    double last_news = started;
    long last_accepted = 0;
    while (accepted + failed < count) {
        int n = epoll_wait(epoll_fd, events, 256, 1000);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->fd >= 0) on_event(c, events[i].events);
        }
        double t = now();
        if (accepted + failed != last_accepted) last_accepted = accepted + failed, last_news = t;
        if (t - last_news > 60) {
            snprintf(failure, sizeof failure, "nothing was accepted for 60 seconds");
            break;
        }
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = usage.ru_utime.tv_sec + usage.ru_utime.tv_usec / 1e6 + usage.ru_stime.tv_sec +
                 usage.ru_stime.tv_usec / 1e6;
    qsort(final_ms, accepted, sizeof *final_ms, by_value);
    qsort(whole_ms, accepted, sizeof *whole_ms, by_value);
    for (char *p = failure; *p; p++)
        if (*p == '"' || *p == '\\' || *p < ' ') *p = ' ';
    double seconds = ended - started;
    printf("{\"accepted\":%ld,\"failed\":%ld,\"seconds\":%.4f,\"rate\":%.2f,\"final_p50_ms\":%.3f,"
           "\"final_p99_ms\":%.3f,\"whole_p50_ms\":%.3f,\"whole_p99_ms\":%.3f,\"connections_opened\":%ld,"
           "\"bytes\":%ld,\"generator_cpu_seconds\":%.4f,\"failure\":\"%s\"}\n",
           accepted, failed, seconds, seconds > 0 ? accepted / seconds : 0, percentile(final_ms, accepted, 0.5),
           percentile(final_ms, accepted, 0.99), percentile(whole_ms, accepted, 0.5),
           percentile(whole_ms, accepted, 0.99), opened, bytes_sent, cpu, failure);
    return failed || accepted < count;
}
