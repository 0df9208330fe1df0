#include <torii/cpu_set.h>
#include <torii/failure.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "commands.h"
#include "render_cpus.h"

namespace torii::cli {
namespace {

struct SchedOptions {
    std::string domain;
    std::string pool;
    int64_t weight = 0;
    int64_t cap = 0;
    int64_t ratelimit = 0;
};

ExitCode show_pools(const Context& context, const v1::Request& request) {
    Connection connection(context.socket);
    const v1::PoolList pools = connection.call(request).pools();
    const bool asked = request.verb_case() == v1::Request::kPoolList;
    if (context.json) {
        print(render_pools_json(pools));
    } else if (!context.quiet || asked) {
        print(render_pools(pools));
    }
    return ExitCode::kSuccess;
}

ExitCode sched(const Context& context, const CLI::App& command, const SchedOptions& options) {
    const auto given = [&](const char* flag) { return command.count(flag) != 0; };
    const bool changes = given("--weight") || given("--cap");
    v1::Request request;
    if (given("--ratelimit")) {
        if (!options.domain.empty() || changes) {
            throw Failure(ErrorCode::kInvalidArgument,
                          "--ratelimit belongs to a pool, not to a domain: give it alone, or with --pool");
        }
        request.mutable_pool_ratelimit()->set_pool(options.pool);
        request.mutable_pool_ratelimit()->set_microseconds(static_cast<uint32_t>(options.ratelimit));
        return show_pools(context, request);
    }
    if (given("--pool")) {
        throw Failure(ErrorCode::kInvalidArgument,
                      "--pool goes with --ratelimit; `torii pool move DOMAIN POOL` moves a domain");
    }
    if (changes && options.domain.empty()) {
        throw Failure(
            ErrorCode::kInvalidArgument,
            "--weight and --cap need to know whose they are: torii sched DOMAIN --weight N --cap PERCENT");
    }
    request.mutable_schedule()->set_domain(options.domain);
    if (given("--weight")) request.mutable_schedule()->set_weight(static_cast<uint32_t>(options.weight));
    if (given("--cap")) request.mutable_schedule()->set_cap_percent(static_cast<uint32_t>(options.cap));
    Connection connection(context.socket);
    const v1::ShareList shares = connection.call(request).shares();
    if (context.json) {
        print(render_shares_json(shares));
    } else if (!context.quiet || !changes) {
        print(render_shares(shares));
    }
    return ExitCode::kSuccess;
}

void add_sched(CLI::App& app, Context& context) {
    auto options = std::make_shared<SchedOptions>();
    CLI::App* command = app.add_subcommand("sched", "Show and set how much of the CPUs domains get");
    command->footer(
        "Examples:\n  torii sched\n  torii sched web1 --weight 512     twice as much as one of 256\n"
        "  torii sched web1 --cap 50         never more than half a CPU\n"
        "  torii sched web1 --cap 0          as much as there is\n"
        "  torii sched --ratelimit 1000 --pool batch\n"
        "All of it holds at once. A guest that reboots keeps it.\n");
    command->add_option("DOMAIN", options->domain, "Its name, id or UUID (default: all are shown)");
    command->add_option("--weight,-w", options->weight, "Its part, compared with the others' weights")
        ->check(CLI::Range(int64_t{1}, int64_t{65535}));
    command->add_option("--cap,-c", options->cap, "The most it may use, in percent of one CPU; 0: no limit")
        ->check(CLI::Range(int64_t{0}, int64_t{65534}));
    command
        ->add_option("--ratelimit", options->ratelimit,
                     "Microseconds that a vCPU runs before another may take its place; 0: none")
        ->check(CLI::Range(int64_t{0}, int64_t{500000}));
    command->add_option("--pool", options->pool, "The pool for --ratelimit (default: the first)");
    command->callback([command, options, &context] {
        context.action = [command, options, &context] { return sched(context, *command, *options); };
    });
}

struct PoolOptions {
    std::string pool;
    std::string cpus;
    std::string domain;
};
using Options = std::shared_ptr<PoolOptions>;
using Fill = std::function<void(v1::Request&, const PoolOptions&)>;

CLI::App* add_pool_verb(CLI::App& pool, Context& context, const char* name, const char* description,
                        const char* examples, const Options& options, Fill fill) {
    CLI::App* command = pool.add_subcommand(name, description);
    command->footer(std::string("Examples:\n") + examples);
    command->callback([options, &context, fill = std::move(fill)] {
        context.action = [options, &context, fill] {
            if (!options->cpus.empty()) CpuList::parse(options->cpus);
            v1::Request request;
            fill(request, *options);
            return show_pools(context, request);
        };
    });
    return command;
}

void add_cpu_verbs(CLI::App& pool, Context& context) {
    const Options adding = std::make_shared<PoolOptions>();
    CLI::App* add = add_pool_verb(pool, context, "add-cpu", "Give a pool CPUs that are in none",
                                  "  torii pool add-cpu batch 2-3\n", adding,
                                  [](v1::Request& request, const PoolOptions& options) {
                                      request.mutable_pool_add_cpus()->set_pool(options.pool);
                                      request.mutable_pool_add_cpus()->set_cpus(options.cpus);
                                  });
    const Options removing = std::make_shared<PoolOptions>();
    CLI::App* remove = add_pool_verb(pool, context, "remove-cpu", "Take CPUs out of a pool",
                                     "  torii pool remove-cpu Pool-0 2-3\n", removing,
                                     [](v1::Request& request, const PoolOptions& options) {
                                         request.mutable_pool_remove_cpus()->set_pool(options.pool);
                                         request.mutable_pool_remove_cpus()->set_cpus(options.cpus);
                                     });
    for (const auto& [command, options] : {std::pair{add, adding}, std::pair{remove, removing}}) {
        command->add_option("POOL", options->pool, "Its name or number")->required();
        command->add_option("CPUS", options->cpus, "2-3, or 0,4")->required();
    }
}

void add_life_verbs(CLI::App& pool, Context& context) {
    const Options making = std::make_shared<PoolOptions>();
    CLI::App* create =
        add_pool_verb(pool, context, "create", "Make a pool",
                      "  torii pool remove-cpu Pool-0 2-3\n  torii pool create batch --cpus 2-3\n", making,
                      [](v1::Request& request, const PoolOptions& options) {
                          request.mutable_pool_create()->set_name(options.pool);
                          request.mutable_pool_create()->set_cpus(options.cpus);
                      });
    create->add_option("NAME", making->pool, "Letters, digits, - _ . +")->required();
    create->add_option("--cpus", making->cpus, "CPUs that are in no pool (default: none)");
    const Options ending = std::make_shared<PoolOptions>();
    CLI::App* destroy =
        add_pool_verb(pool, context, "destroy", "Remove a pool without domains; its CPUs are then in none",
                      "  torii pool destroy batch\n  torii pool add-cpu Pool-0 2-3\n", ending,
                      [](v1::Request& request, const PoolOptions& options) {
                          request.mutable_pool_destroy()->set_pool(options.pool);
                      });
    destroy->add_option("POOL", ending->pool, "Its name or number")->required();
    const Options moving = std::make_shared<PoolOptions>();
    CLI::App* move = add_pool_verb(pool, context, "move", "Let a domain run on the CPUs of another pool",
                                   "  torii pool move web1 batch\n", moving,
                                   [](v1::Request& request, const PoolOptions& options) {
                                       request.mutable_pool_move()->set_domain(options.domain);
                                       request.mutable_pool_move()->set_pool(options.pool);
                                   });
    move->add_option("DOMAIN", moving->domain, "Its name, id or UUID")->required();
    move->add_option("POOL", moving->pool, "Name or number of the pool")->required();
}

void add_pool(CLI::App& app, Context& context) {
    CLI::App* pool = app.add_subcommand("pool", "Groups of CPUs with domains of their own");
    pool->footer(
        "Examples:\n  torii pool                          which there are\n"
        "  torii pool remove-cpu Pool-0 2-3    so that the next can have them\n"
        "  torii pool create batch --cpus 2-3\n  torii pool move web1 batch\n"
        "  torii pool move web1 Pool-0\n  torii pool destroy batch\n  torii pool add-cpu Pool-0 2-3\n"
        "Each change shows all pools as they are then.\n");
    pool->require_subcommand(0, 1);
    CLI::App* list = pool->add_subcommand("list", "Show the pools (also without any word)");
    list->footer("Examples:\n  torii pool list\n  torii --json pool list\n");
    const auto show = [&context] {
        v1::Request request;
        request.mutable_pool_list();
        return show_pools(context, request);
    };
    list->callback([&context, show] { context.action = show; });
    add_life_verbs(*pool, context);
    add_cpu_verbs(*pool, context);
    pool->callback([pool, &context, show] {
        if (pool->get_subcommands().empty()) context.action = show;
    });
}

}  // namespace

void add_sched_commands(CLI::App& app, Context& context) {
    add_sched(app, context);
    add_pool(app, context);
}

}  // namespace torii::cli
