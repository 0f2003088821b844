# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_edgectl_global_optspecs
    string join \n json bus= host= timeout= h/help V/version
end

function __fish_edgectl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_edgectl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_edgectl_using_subcommand
    set -l cmd (__fish_edgectl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c edgectl -n "__fish_edgectl_needs_command" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_needs_command" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_needs_command" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_needs_command" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_needs_command" -s V -l version -d 'Print version'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "status" -d 'Show what the daemon does now: state, engine, broker, models, problems'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "top" -d 'Watch the box live: regime, temperatures, clocks, power, load, requests, models'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "models" -d 'Show the models of this box'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "jobs" -d 'Show the long work of the daemon: what runs, and what ended lately'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "infer" -d 'Run a model on a file: an image, a WAV file, any bytes'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "bench" -d 'Measure how fast this box answers: throughput and delay by number of clients and by batch'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "doctor" -d 'Check everything that inference needs, and say what is wrong and what to do'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "governor" -d 'Show what the governor does and what it has learnt of the heat of this box'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "sites" -d 'Show the other places that requests may go to: state, times, errors, what is spent, what was sent there'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "bindings" -d 'Show what each binding did: frames that came, were answered, failed, were skipped or dropped, and how the last one went'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "route" -d 'Explain where requests go, try another policy, and learn which texts may stay'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "audit" -d 'List what left the device: when, to whom, under which data class, and what came of it'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "usage" -d 'Show what was served: requests, tokens, times, cost and energy by model, site and verdict'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "hold" -d 'Reserve the device for something else: nothing is run on it until this command ends'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "drain" -d 'Take no new requests; finish those that were accepted'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "resume" -d 'Take requests again after a drain'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "reload" -d 'Read the configuration again, without a restart'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "trace" -d 'Show what happened to one request, and when'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "runtime" -d 'Install ONNX Runtimes that come as wheels, such as those for the graphics processor of a Jetson, and go back'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "support-bundle" -d 'Write all that this box tells of edged into one file to be mailed, without secrets'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "config" -d 'Work with the configuration'
complete -c edgectl -n "__fish_edgectl_needs_command" -f -a "completions" -d 'Print the completions for a shell'
complete -c edgectl -n "__fish_edgectl_using_subcommand status" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand status" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand status" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand status" -l check -d 'Exit with 6 unless the daemon serves and nothing is wrong'
complete -c edgectl -n "__fish_edgectl_using_subcommand status" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand top" -l interval -d 'Time between two looks, from 200ms to 1m' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand top" -l width -d 'Columns of the printed text, from 40 to 400; implies --once [default: 80]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand top" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand top" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand top" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand top" -l once -d 'Print the screen once as plain text'
complete -c edgectl -n "__fish_edgectl_using_subcommand top" -l ascii -d 'Draw bars and lines in ASCII, as is done where the locale is not UTF-8'
complete -c edgectl -n "__fish_edgectl_using_subcommand top" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "list" -d 'List every model that was found'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "show" -d 'Show one model: inputs, outputs, providers, why it is not served'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "plan" -d 'Show what was measured of a model on this box, and which way to run it was chosen; without a name, of all'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "tune" -d 'Measure a model on this box, and serve it by the fastest way that answers right'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "load" -d 'Load a model that was unloaded, or try at once one that failed; wait until it serves, and show it'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "unload" -d 'Unload a model, and keep it so until it is loaded by `edgectl models load` or edged starts anew'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "new" -d 'Make a bundle of an ONNX file: recognise it, write its manifest, try it on samples'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "check" -d 'Name everything for which a box would refuse a bundle, and run its golden inputs here'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "goldens" -d 'Answer a bundle\'s golden inputs anew and seal it, after its manifest or a file was changed by hand'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "eval" -d 'Measure what the variants of a bundle are worth: quality and speed of each, on data of your own'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "quantize" -d 'Add an INT8 variant to a bundle, made of samples, and state in its manifest what it loses'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "sign" -d 'Sign a bundle, or a list of what boxes are to have, in the form of minisign'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "keygen" -d 'Make a pair of keys to sign with, in the form of minisign'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "pack" -d 'Make one file of a bundle'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "install" -d 'Put a bundle onto this box, and make it the active version of its model'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "pull" -d 'Fetch a bundle from a web server or a registry, and install it'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "activate" -d 'Make another version of a model the active one'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "rollback" -d 'Take the version back that was active before the one that is'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "remove" -d 'Remove a version of a model from this box; the active one is refused'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "fleet" -d 'Show what this box is to have by lists for many boxes, and what it does about it'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "sync" -d 'Have the lists of what this box is to have read anew, and begin what they say'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "history" -d 'Show who installed, activated, took back and removed models here, and when'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and not __fish_seen_subcommand_from list show plan tune load unload new check goldens eval quantize sign keygen pack install pull activate rollback remove fleet sync history cache" -f -a "cache" -d 'List what execution providers compiled and is kept, clear it, or take it along to boxes like this one'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from list" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from list" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from list" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from list" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from show" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from show" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from show" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from show" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from plan" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from plan" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from plan" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from plan" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from tune" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from tune" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from tune" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from tune" -l no-wait -d 'Return at once; `edgectl jobs` shows how far it is'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from tune" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from tune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from load" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from load" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from load" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from load" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from load" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from unload" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from unload" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from unload" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from unload" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from unload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l task -d 'What it does: classification, object-detection, tensors, ... [default: told from the graph]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l samples -d 'Pictures, sounds or files to try it on: one file, or a directory of them. The firmest answers become golden inputs' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l labels -d 'Names of its labels, one a line, in the order of its classes [default: those in the model\'s metadata]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l name -d 'Name of the model [default: that of the file]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l model-version -d 'Semantic version of the bundle [default: 1.0.0]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l licence -d 'Licence of the model, an SPDX expression [default: that in the model\'s metadata]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l out -d 'Where to put the bundle [default: a directory of the model\'s name here]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l annotate -d 'Draw what was found on the samples, and put the pictures into this directory' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l library -d 'ONNX Runtime to run it with [default: found as edged finds it]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from new" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from check" -l library -d 'ONNX Runtime to run it with [default: found as edged finds it]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from check" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from check" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from check" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from check" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from goldens" -l samples -d 'Take other samples: one file, or a directory of them [default: the golden inputs that there are]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from goldens" -l annotate -d 'Draw what was found on the samples, and put the pictures into this directory' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from goldens" -l library -d 'ONNX Runtime to run it with [default: found as edged finds it]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from goldens" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from goldens" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from goldens" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from goldens" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from goldens" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from eval" -l data -d 'The samples, with or without labels; for a detector also the JSON file of COCO\'s form' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from eval" -l variants -d 'Only these, by name, divided by commas; the first one of the bundle always, as the others are held against it [default: all]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from eval" -l plot -d 'Draw speed against quality into this SVG file' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from eval" -l library -d 'ONNX Runtime to run it with [default: found as edged finds it]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from eval" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from eval" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from eval" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from eval" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from eval" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from quantize" -l data -d 'Samples like those that it will see, with or without labels, in the form of `edgectl models eval`' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from quantize" -l out -d 'Leave the bundle as it is, and put the new one into this directory' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from quantize" -l name -d 'Name of the variant [default: int8]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from quantize" -l tolerance -d 'Let the golden answers of all variants differ by this at least, 0 to 1 [default: as they are]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from quantize" -l python -d 'The Python that has ONNX Runtime and ONNX [default: python3]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from quantize" -l library -d 'ONNX Runtime to run it with [default: found as edged finds it]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from quantize" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from quantize" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from quantize" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from quantize" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from quantize" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from sign" -l key -d 'The secret key, as `edgectl models keygen` or `minisign -G` makes it' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from sign" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from sign" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from sign" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from sign" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from sign" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from keygen" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from keygen" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from keygen" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from keygen" -l no-password -d 'Ask for no password: whoever reads NAME.key can sign'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from keygen" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from keygen" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pack" -l out -d 'The file to write [default: NAME-VERSION.edgemodel here]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pack" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pack" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pack" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pack" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from install" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from install" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from install" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from install" -l no-activate -d 'Only put it there: requests that name its version may use it, all others go on as before'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from install" -l pause -d 'Where there is no room for both: let the version that serves go first. Requests wait until the new one is loaded'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from install" -l force -d 'Also a version that was taken back on this box before'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from install" -l no-wait -d 'Return at once; `edgectl jobs` shows how far it is'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from install" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pull" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pull" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pull" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pull" -l no-activate -d 'Only put it there: requests that name its version may use it, all others go on as before'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pull" -l pause -d 'Where there is no room for both: let the version that serves go first. Requests wait until the new one is loaded'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pull" -l force -d 'Also a version that was taken back on this box before'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pull" -l no-wait -d 'Return at once; `edgectl jobs` shows how far it is'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pull" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from pull" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from activate" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from activate" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from activate" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from activate" -l pause -d 'Where there is no room for both: let the version that serves go first. Requests wait until the new one is loaded'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from activate" -l force -d 'Also a version that was taken back on this box before'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from activate" -l no-wait -d 'Return at once; `edgectl jobs` shows how far it is'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from activate" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from activate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from rollback" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from rollback" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from rollback" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from rollback" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from remove" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from remove" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from remove" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from remove" -l force -d 'Also the active version, if there is no other one: nothing answers for the model then'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from remove" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from fleet" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from fleet" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from fleet" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from fleet" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from fleet" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from sync" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from sync" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from sync" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from sync" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from sync" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from history" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from history" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from history" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from history" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from cache" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from cache" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from cache" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from cache" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from cache" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from cache" -f -a "clear" -d 'Remove what is kept and not in use, so that it is compiled again when it is needed'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from cache" -f -a "export" -d 'Write measured plans and compiled engines into a file, for boxes of the same kind'
complete -c edgectl -n "__fish_edgectl_using_subcommand models; and __fish_seen_subcommand_from cache" -f -a "import" -d 'Take over what another box of the same kind exported, so that nothing is measured and compiled again'
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and not __fish_seen_subcommand_from cancel watch" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and not __fish_seen_subcommand_from cancel watch" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and not __fish_seen_subcommand_from cancel watch" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and not __fish_seen_subcommand_from cancel watch" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and not __fish_seen_subcommand_from cancel watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and not __fish_seen_subcommand_from cancel watch" -f -a "cancel" -d 'Give a job up: a model that was being compiled is served another way, if there is one'
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and not __fish_seen_subcommand_from cancel watch" -f -a "watch" -d 'Wait until a job ends, and show on a terminal how far it is; exit with 1 unless it is done'
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and __fish_seen_subcommand_from cancel" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and __fish_seen_subcommand_from cancel" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and __fish_seen_subcommand_from cancel" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and __fish_seen_subcommand_from cancel" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and __fish_seen_subcommand_from cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and __fish_seen_subcommand_from watch" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and __fish_seen_subcommand_from watch" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and __fish_seen_subcommand_from watch" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and __fish_seen_subcommand_from watch" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand jobs; and __fish_seen_subcommand_from watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand infer" -l content-type -d 'What the file is [default: told from its first bytes and its name]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand infer" -l deadline -d 'After this time the reply has no value and work on it stops' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand infer" -l data-class -d 'How far the data may go [default: the operator\'s policy]' -r -f -a "regulated\t'Stays on the device'
internal\t'May reach the premises'
public\t'May reach the cloud'"
complete -c edgectl -n "__fish_edgectl_using_subcommand infer" -l priority -d 'Place among waiting requests [default: normal]' -r -f -a "high\t'Before all others'
normal\t'The ordinary case'
low\t'After all others'"
complete -c edgectl -n "__fish_edgectl_using_subcommand infer" -l request-id -d 'Your own id, by which `edgectl trace` finds the request [default: a fresh one]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand infer" -l annotate -d 'Draw the boxes of the answer, with what was read there, on the picture and write that to this PNG file' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand infer" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand infer" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand infer" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand infer" -s v -l verbose -d 'Also print who served, why, and how long it took'
complete -c edgectl -n "__fish_edgectl_using_subcommand infer" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand infer" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l file -d 'File to send; `-` reads standard input [default: the largest golden input of the bundle that the model takes]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l content-type -d 'What the file is [default: told from its first bytes and its name]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l shape -d 'Shape of one input whose sizes the model leaves open; implies --tensors [default: the smallest sensible]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l clients -d 'Numbers of clients, each from 1 to 64' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l batch -d 'Rows of each request, from 1 to 1024, for models with a batch dimension; implies --tensors' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l seconds -d 'How long each step is measured, from 1 to 3600' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l deadline -d 'After this time a reply has no value and work on it stops' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l data-class -d 'How far the data may go [default: the operator\'s policy]' -r -f -a "regulated\t'Stays on the device'
internal\t'May reach the premises'
public\t'May reach the cloud'"
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l priority -d 'Place among waiting requests' -r -f -a "high\t'Before all others'
normal\t'The ordinary case'
low\t'After all others'"
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l over -d 'How the clients reach the daemon [default: private, or bus where the daemon does not offer that]' -r -f -a "private\t'A private connection, without the bus in between'
bus\t'The bus'"
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l encoded -d 'Send a picture, a sound or a file, which the box decodes [default where the model takes one]'
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l tensors -d 'Send tensors of the model\'s shapes, filled with a fixed pseudo-random pattern (seed 1)'
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand doctor" -l config -d 'Configuration file to check [default: that of the daemon that runs, else what it would read]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand doctor" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand doctor" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand doctor" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand doctor" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and not __fish_seen_subcommand_from show" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and not __fish_seen_subcommand_from show" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and not __fish_seen_subcommand_from show" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and not __fish_seen_subcommand_from show" -l ascii -d 'Draw the chart in ASCII, as is done where the locale is not UTF-8'
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and not __fish_seen_subcommand_from show" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and not __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and not __fish_seen_subcommand_from show" -f -a "show" -d 'The same as without a word'
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and __fish_seen_subcommand_from show" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and __fish_seen_subcommand_from show" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and __fish_seen_subcommand_from show" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and __fish_seen_subcommand_from show" -l ascii -d 'Draw the chart in ASCII, as is done where the locale is not UTF-8'
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and __fish_seen_subcommand_from show" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand governor; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand sites" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand sites" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand sites" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand sites" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand sites" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand bindings" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand bindings" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand bindings" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand bindings" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand bindings" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and not __fish_seen_subcommand_from explain replay learn" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and not __fish_seen_subcommand_from explain replay learn" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and not __fish_seen_subcommand_from explain replay learn" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and not __fish_seen_subcommand_from explain replay learn" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and not __fish_seen_subcommand_from explain replay learn" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and not __fish_seen_subcommand_from explain replay learn" -f -a "explain" -d 'Show where such a request would go now, every rule that was asked, and what would have had to differ'
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and not __fish_seen_subcommand_from explain replay learn" -f -a "replay" -d 'Show what another policy would have made of the recorded decisions of this box'
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and not __fish_seen_subcommand_from explain replay learn" -f -a "learn" -d 'Learn from a table of outcomes which texts a stronger site answers better, and which may stay on the box'
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -l model -d 'Model, or model:version [default: that of the profile or of the chat body]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -l content-type -d 'What the payload is [default: told from its first bytes and its name]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -l deadline -d 'After this time the reply would have no value' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -l class -l data-class -d 'How far the data may go [default: the operator\'s policy]' -r -f -a "regulated\t'Stays on the device'
internal\t'May reach the premises'
public\t'May reach the cloud'"
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -l priority -d 'Place among waiting requests [default: normal]' -r -f -a "high\t'Before all others'
normal\t'The ordinary case'
low\t'After all others'"
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -l source -d 'Who would ask: bus, bus:UID, mqtt or mqtt:TOPIC [default: bus]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -l set -d 'Set a key of the profile, over what the file and the other options say' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -l deferrable -d 'It may wait on the disk until something can serve it'
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from replay" -l policy -d 'The policy to try; `-` reads standard input' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from replay" -l since -l from -d 'Only decisions since then: how long ago (30m, 2h, 7d), a time (2026-11-28T06:00:00Z) or a day' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from replay" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from replay" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from replay" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from replay" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from learn" -l out -d 'The file to write; one that is there already is left alone' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from learn" -l target-loss -d 'By how much answers may be worse on average over all requests, above 0 and below 1' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from learn" -l confidence -d 'How sure that has to be, above 0 and below 1' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from learn" -l seed -d 'Which rows are held out. To try several and keep the best one spoils the promise' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from learn" -l date -d 'The day that the file has on it [default: today, UTC]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from learn" -l plot -d 'Draw the quality over the share that is sent into this SVG file; one that is there already is left alone' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from learn" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from learn" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from learn" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from learn" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand route; and __fish_seen_subcommand_from learn" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand audit" -l since -d 'Only what left since then: how long ago (30m, 2h, 7d), a time (2026-11-28T06:00:00Z) or a day' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand audit" -l site -d 'Only what was sent to this site' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand audit" -l model -d 'Only what was asked of this model' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand audit" -l class -l data-class -d 'Only what had this data class' -r -f -a "regulated\t'Stays on the device'
internal\t'May reach the premises'
public\t'May reach the cloud'"
complete -c edgectl -n "__fish_edgectl_using_subcommand audit" -l limit -d 'The newest so many, from 1 to 1000' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand audit" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand audit" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand audit" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand audit" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand usage" -l since -d 'Only from then on: how long ago (30m, 2h, 7d), a time (2026-11-28T06:00:00Z) or a day' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand usage" -l until -d 'Only until then' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand usage" -l by -d 'How long each row is' -r -f -a "minute\t'Each minute by itself'
hour\t'Each hour'
day\t'Each day (UTC)'
all\t'All of the time together'"
complete -c edgectl -n "__fish_edgectl_using_subcommand usage" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand usage" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand usage" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand usage" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand usage" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand hold" -l why -d 'What for, in 1 to 200 characters: shown to whoever wonders why nothing runs' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand hold" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand hold" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand hold" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand hold" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand hold" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand drain" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand drain" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand drain" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand drain" -l wait -d 'Return only when nothing is left to finish; exit with 1 if that takes longer than --timeout'
complete -c edgectl -n "__fish_edgectl_using_subcommand drain" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand drain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand resume" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand resume" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand resume" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand resume" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand reload" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand reload" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand reload" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand reload" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand trace" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand trace" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand trace" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand trace" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand trace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and not __fish_seen_subcommand_from list install rollback remove" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and not __fish_seen_subcommand_from list install rollback remove" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and not __fish_seen_subcommand_from list install rollback remove" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and not __fish_seen_subcommand_from list install rollback remove" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and not __fish_seen_subcommand_from list install rollback remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and not __fish_seen_subcommand_from list install rollback remove" -f -a "list" -d 'List the runtimes that were installed, which one is current, and which providers of it work here'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and not __fish_seen_subcommand_from list install rollback remove" -f -a "install" -d 'Check a wheel of ONNX Runtime, install the libraries in it and let the daemon use them'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and not __fish_seen_subcommand_from list install rollback remove" -f -a "rollback" -d 'Go back to the runtime before: another one that was installed, or the package\'s'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and not __fish_seen_subcommand_from list install rollback remove" -f -a "remove" -d 'Remove a runtime that is not the current one'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from list" -l config -d 'Configuration file to check [default: that of the daemon that runs, else what it would read]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from list" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from list" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from list" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from list" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from install" -l config -d 'Configuration file to check [default: that of the daemon that runs, else what it would read]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from install" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from install" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from install" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from install" -l no-switch -d 'Only check whether it would work here: nothing is installed or changed'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from install" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from rollback" -l config -d 'Configuration file to check [default: that of the daemon that runs, else what it would read]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from rollback" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from rollback" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from rollback" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from rollback" -l package -d 'To the package\'s, whichever was before'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from rollback" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from remove" -l config -d 'Configuration file to check [default: that of the daemon that runs, else what it would read]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from remove" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from remove" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from remove" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from remove" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand runtime; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand support-bundle" -l max-mib -d 'Largest file, MiB: of what is longest the beginning is left out' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand support-bundle" -l config -d 'Configuration file to check [default: that of the daemon that runs, else what it would read]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand support-bundle" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand support-bundle" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand support-bundle" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand support-bundle" -l stdout -d 'Write the file to standard output; what is in it is told on standard error'
complete -c edgectl -n "__fish_edgectl_using_subcommand support-bundle" -l force -d 'Replace a file that is there'
complete -c edgectl -n "__fish_edgectl_using_subcommand support-bundle" -l hide-names -d 'Replace names of boxes, hosts, topics and users, and addresses, by words that are the same everywhere in it'
complete -c edgectl -n "__fish_edgectl_using_subcommand support-bundle" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand support-bundle" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand config; and not __fish_seen_subcommand_from check" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand config; and not __fish_seen_subcommand_from check" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand config; and not __fish_seen_subcommand_from check" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand config; and not __fish_seen_subcommand_from check" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand config; and not __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand config; and not __fish_seen_subcommand_from check" -f -a "check" -d 'Let edged check a configuration, and list the files that were read or all that is wrong'
complete -c edgectl -n "__fish_edgectl_using_subcommand config; and __fish_seen_subcommand_from check" -l config -d 'Configuration file to check [default: that of the daemon that runs, else what it would read]' -r -F
complete -c edgectl -n "__fish_edgectl_using_subcommand config; and __fish_seen_subcommand_from check" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand config; and __fish_seen_subcommand_from check" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand config; and __fish_seen_subcommand_from check" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand config; and __fish_seen_subcommand_from check" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c edgectl -n "__fish_edgectl_using_subcommand completions" -l bus -d 'Bus on which to find the daemon [default: the environment\'s EDGED_BUS, else system]' -r -f -a "system\t'The bus of the whole box: where the service runs'
session\t'The bus of the user\'s session: for development'"
complete -c edgectl -n "__fish_edgectl_using_subcommand completions" -l host -d 'Run the same command on this box over ssh; files are files there, `-` is sent along' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand completions" -l timeout -d 'Give up when the daemon has not answered within this time [default: 30s; drain, resume, reload, hold, route replay: 2m; infer, and each request of bench: the deadline and 5s, without one 605s]' -r
complete -c edgectl -n "__fish_edgectl_using_subcommand completions" -l json -d 'Print the answer as JSON: keys are stable, new ones may be added'
complete -c edgectl -n "__fish_edgectl_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
