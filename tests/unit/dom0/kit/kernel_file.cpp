#include "unit/dom0/kit/kernel_file.h"

#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <torii/abi/elfnote.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>
#include <fstream>
#include <optional>

namespace torii::dom0::test {
namespace {

void append_word(std::string& out, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        out.push_back(static_cast<char>(value >> (8 * i)));
}

void add_note(std::string& out, abi::ElfNote type, const std::string& value) {
    append_word(out, 4, 4);
    append_word(out, value.size(), 4);
    append_word(out, static_cast<uint32_t>(type), 4);
    out += std::string("Xen\0", 4) + value;
    while (out.size() % 4 != 0)
        out.push_back('\0');
}

std::string number(uint64_t value) {
    std::string text;
    append_word(text, value, 8);
    return text;
}

std::string make_notes(const KernelRecipe& recipe) {
    std::string notes;
    const uint64_t start = recipe.virt_base + recipe.physical;
    add_note(notes, abi::ElfNote::kGuestOs, std::string("testos\0", 7));
    add_note(notes, abi::ElfNote::kXenVersion, std::string("xen-3.0\0", 8));
    add_note(notes, abi::ElfNote::kLoader, std::string("generic\0", 8));
    add_note(notes, abi::ElfNote::kVirtBase, number(recipe.virt_base));
    add_note(notes, abi::ElfNote::kPaddrOffset, number(0));
    add_note(notes, abi::ElfNote::kEntry, number(start + 0x10));
    if (recipe.p2m) add_note(notes, abi::ElfNote::kInitP2m, number(0x8000000000));
    if (recipe.module_is_pfn) add_note(notes, abi::ElfNote::kModStartPfn, number(1));
    if (recipe.hypercall_page) add_note(notes, abi::ElfNote::kHypercallPage, number(start + 4096));
    return notes;
}

Elf64_Phdr header_of(uint32_t type, uint64_t offset, uint64_t address, uint64_t in_file, uint64_t in_memory) {
    Elf64_Phdr header{};
    header.p_type = type;
    header.p_flags = PF_R | PF_W | PF_X;
    header.p_offset = offset;
    header.p_paddr = address;
    header.p_vaddr = address;
    header.p_filesz = in_file;
    header.p_memsz = in_memory;
    return header;
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
    std::string name = "/tmp/torii-test-XXXXXX";
    path_ = ::mkdtemp(name.data());
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(const std::string& name, const std::string& content) const {
    std::ofstream(file(name), std::ios::binary) << content;
    return file(name);
}

char text_byte(uint64_t offset) {
    return static_cast<char>(offset * 7 + (offset >> 8));
}

std::string make_kernel(const KernelRecipe& recipe) {
    const std::string notes = recipe.notes ? make_notes(recipe) : std::string();
    const uint64_t notes_at = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
    const uint64_t text_at = (notes_at + notes.size() + 4095) / 4096 * 4096;
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_entry = recipe.physical;
    header.e_phoff = sizeof(Elf64_Ehdr);
    header.e_ehsize = sizeof(Elf64_Ehdr);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    const Elf64_Phdr programs[] = {
        header_of(PT_LOAD, text_at, recipe.physical, recipe.text_bytes,
                  recipe.text_bytes + recipe.zero_bytes),
        header_of(recipe.notes ? PT_NOTE : PT_NULL, notes_at, 0, notes.size(), notes.size())};
    std::string file(reinterpret_cast<const char*>(&header), sizeof(header));
    file.append(reinterpret_cast<const char*>(programs), sizeof(programs));
    file += notes;
    file.resize(text_at);
    for (uint64_t i = 0; i < recipe.text_bytes; i++)
        file.push_back(text_byte(i));
    return file;
}

std::string make_boot_image(const std::string& packed_payload, uint32_t unpacked_size, bool with_size) {
    std::string file(3 * 512, '\0');
    const auto put = [&](size_t offset, uint64_t value, size_t bytes) {
        for (size_t i = 0; i < bytes; i++)
            file[offset + i] = static_cast<char>(value >> (8 * i));
    };
    std::string payload = packed_payload;
    if (with_size) append_word(payload, unpacked_size, 4);
    put(0x1F1, 2, 1);
    put(0x1FE, 0xAA55, 2);
    std::memcpy(file.data() + 0x202, "HdrS", 4);
    put(0x206, 0x020F, 2);
    put(0x248, 64, 4);
    put(0x24C, payload.size(), 4);
    return file + std::string(64, 'x') + payload + "trailing bytes";
}

std::string pack_gzip(const std::string& data) {
    z_stream stream{};
    deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    std::string out(deflateBound(&stream, data.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

std::string pack_xz(const std::string& data) {
    std::string out(lzma_stream_buffer_bound(data.size()), '\0');
    size_t size = 0;
    lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, nullptr, reinterpret_cast<const uint8_t*>(data.data()),
                            data.size(), reinterpret_cast<uint8_t*>(out.data()), &size, out.size());
    out.resize(size);
    return out;
}

std::string pack_zstd(const std::string& data) {
    std::string out(ZSTD_compressBound(data.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
    return out;
}

std::string pack_lz4(const std::string& data) {
    constexpr size_t kBlock = 8u << 20;
    std::string out("\x02\x21\x4C\x18");
    for (size_t offset = 0; offset < data.size(); offset += kBlock) {
        const int size = static_cast<int>(std::min(kBlock, data.size() - offset));
        std::string block(static_cast<size_t>(LZ4_compressBound(size)), '\0');
        block.resize(static_cast<size_t>(
            LZ4_compress_default(data.data() + offset, block.data(), size, static_cast<int>(block.size()))));
        append_word(out, block.size(), 4);
        out += block;
    }
    return out;
}

}  // namespace torii::dom0::test
