#include <CLI/CLI.hpp>
#include <memory>

#include "commands.h"

namespace torii::cli {
namespace {

constexpr const char* kBashScript = R"bash(# bash completion for torii: eval "$(torii completion bash)"
_torii_domains() { torii list 2>/dev/null | awk 'NR > 1 { print $2 }'; }
_torii_images() { torii image list 2>/dev/null | awk 'NR > 1 { print $1 }'; }
_torii_pools() { torii pool 2>/dev/null | awk '/^[0-9]/ { print $2 }'; }
_torii()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} verb= word words
    local verbs="@VERBS@"
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in -*) ;; *) verb=$word; break ;; esac
    done
    COMPREPLY=()
    words=$verb
    case $previous in
        --kernel)
            if [ "$verb" = image ]; then COMPREPLY=($(compgen -W "standard cloud" -- "$current"))
            else compopt -o filenames; COMPREPLY=($(compgen -f -- "$current")); fi
            return ;;
        -k|--ramdisk|-r|--socket|--ssh-key|--password-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$current")); return ;;
        --on-poweroff|--on-reboot|--on-crash) COMPREPLY=($(compgen -W "destroy restart preserve" -- "$current")); return ;;
        --pool) COMPREPLY=($(compgen -W "$(_torii_pools)" -- "$current")); return ;;
        --suite) COMPREPLY=($(compgen -W "bookworm trixie forky sid" -- "$current")); return ;;
        --folder|--directory) compopt -o dirnames; COMPREPLY=($(compgen -d -- "$current")); return ;;
        --tsc) COMPREPLY=($(compgen -W "native default emulate" -- "$current")); return ;;
    esac
    if [ -z "$verb" ]; then
        COMPREPLY=($(compgen -W "$verbs --json --quiet --socket --help --version" -- "$current"))
        return
    fi
    case $current in
        -*)
            if [ "$verb" = image ]; then
                words="${COMP_WORDS[*]:1:COMP_CWORD-1}"
                case $words in *" build debian"*) words="image build debian" ;; *" rm"*) words="image rm" ;; *) words="image list" ;; esac
            fi
            COMPREPLY=($(compgen -W "$(torii $words --help 2>/dev/null | grep -oE -- '--[a-z-]+' | sort -u)" -- "$current")); return ;;
    esac
    case $verb in
        create) compopt -o filenames; COMPREPLY=($(compgen -f -X '!*.toml' -- "$current") $(compgen -d -- "$current")) ;;
        image)
            case $previous in
                image) COMPREPLY=($(compgen -W "build list info rm" -- "$current")) ;;
                build) COMPREPLY=($(compgen -W "debian" -- "$current")) ;;
                info|rm) COMPREPLY=($(compgen -W "$(_torii_images)" -- "$current")) ;;
            esac ;;
        ssh) [ "$previous" = ssh ] && COMPREPLY=($(compgen -W "$(_torii_images)" -- "$current")) ;;
        guests) [ "$previous" = guests ] && COMPREPLY=($(compgen -W "start stop" -- "$current")) ;;
        completion) COMPREPLY=($(compgen -W "bash" -- "$current")) ;;
        list|host|dmesg|counters|top) ;;
        pool)
            case $previous in
                pool) COMPREPLY=($(compgen -W "list create destroy move add-cpu remove-cpu" -- "$current")) ;;
                destroy|add-cpu|remove-cpu) COMPREPLY=($(compgen -W "$(_torii_pools)" -- "$current")) ;;
                move) COMPREPLY=($(compgen -W "$(_torii_domains)" -- "$current")) ;;
                create) ;;
                *) [ "${COMP_WORDS[COMP_CWORD-2]}" = move ] && COMPREPLY=($(compgen -W "$(_torii_pools)" -- "$current")) ;;
            esac ;;
        vcpu-list|vcpu-set|vcpu-pin|sched|info)
            [ "$previous" = "$verb" ] && COMPREPLY=($(compgen -W "$(_torii_domains)" -- "$current")) ;;
        *) COMPREPLY=($(compgen -W "$(_torii_domains | grep -vx Domain-0)" -- "$current")) ;;
    esac
}
complete -F _torii torii
)bash";

std::string bash_script(const CLI::App& app) {
    std::string verbs;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
        verbs += (verbs.empty() ? "" : " ") + command->get_name();
    }
    std::string script = kBashScript;
    const std::string mark = "@VERBS@";
    return script.replace(script.find(mark), mark.size(), verbs);
}

}  // namespace

void add_completion_command(CLI::App& app, Context& context) {
    auto shell = std::make_shared<std::string>("bash");
    CLI::App* command = app.add_subcommand("completion", "A script that teaches the shell torii's words");
    command->footer("Examples:\n  eval \"$(torii completion bash)\"\n");
    command->add_option("SHELL", *shell, "bash")->capture_default_str()->check(CLI::IsMember({"bash"}));
    command->callback([shell, &app, &context] {
        context.action = [&app] {
            print(bash_script(app));
            return ExitCode::kSuccess;
        };
    });
}

}  // namespace torii::cli
