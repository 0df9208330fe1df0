// Concurrent clients of Debian's libxenstore against a running service:
//     xenstore_stock_stress CLIENTS TRANSACTIONS_EACH
// Each transaction moves two counters that all clients share. Every one that was said to be committed must be
// in the sums at the end. The socket is found as the library finds it (XENSTORED_PATH).

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

extern "C" {
#include <xenstore.h>
}

namespace {

long read_number(xs_handle* store, xs_transaction_t transaction, const std::string& path) {
    unsigned length = 0;
    char* const text = static_cast<char*>(xs_read(store, transaction, path.c_str(), &length));
    if (text == nullptr) return 0;
    const long number = std::strtol(text, nullptr, 10);
    std::free(text);
    return number;
}

bool write_number(xs_handle* store, xs_transaction_t transaction, const std::string& path, long number) {
    const std::string text = std::to_string(number);
    return xs_write(store, transaction, path.c_str(), text.data(), static_cast<unsigned>(text.size()));
}

// Adds one to both counters; false on anything but a conflict, which is tried again.
bool add_one(xs_handle* store, const std::string& own, long& conflicts) {
    while (true) {
        const xs_transaction_t transaction = xs_transaction_start(store);
        if (transaction == XBT_NULL) return false;
        const long shared = read_number(store, transaction, "/stress/shared");
        const long mine = read_number(store, transaction, own);
        if (!write_number(store, transaction, "/stress/shared", shared + 1) ||
            !write_number(store, transaction, own, mine + 1)) {
            return false;
        }
        if (xs_transaction_end(store, transaction, false)) return true;
        if (errno != EAGAIN) return false;
        ++conflicts;
    }
}

int run_client(int number, long transactions) {
    xs_handle* const store = xs_open(0);
    if (store == nullptr) return 1;
    const std::string own = "/stress/client-" + std::to_string(number);
    long conflicts = 0;
    for (long i = 0; i != transactions; ++i) {
        if (!add_one(store, own, conflicts)) {
            std::perror("transaction");
            return 1;
        }
    }
    std::printf("client %d: %ld transactions, %ld conflicts\n", number, transactions, conflicts);
    xs_close(store);
    return 0;
}

}  // namespace

int main(int argument_count, char** arguments) {
    if (argument_count != 3) return 2;
    const int clients = std::atoi(arguments[1]);
    const long transactions = std::atol(arguments[2]);
    for (int i = 0; i != clients; ++i) {
        if (fork() == 0) return run_client(i, transactions);
    }
    bool good = true;
    for (int i = 0; i != clients; ++i) {
        int status = 0;
        wait(&status);
        good = good && status == 0;
    }
    xs_handle* const store = xs_open(0);
    if (store == nullptr || !good) return 1;
    const long shared = read_number(store, XBT_NULL, "/stress/shared");
    std::printf("%ld of %ld in the shared counter\n", shared, clients * transactions);
    good = shared == clients * transactions;
    for (int i = 0; i != clients; ++i) {
        good = good && read_number(store, XBT_NULL, "/stress/client-" + std::to_string(i)) == transactions;
    }
    xs_close(store);
    return good ? 0 : 1;
}
