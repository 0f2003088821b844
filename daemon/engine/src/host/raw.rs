//! The few calls to ONNX Runtime that its Rust binding does not offer. All raw `unsafe` against the runtime is here.

use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};

use ort::AsPointer;
use ort::device::Device;
use ort::memory::{Allocator, MemoryInfo};
use ort::session::{RunOptions, Session};
use ort::value::{DynValue, Outlet, TensorElementType, ValueType};

use crate::protocol::Datatype;

/// The datatype of a runtime's element type; `None` for those that requests cannot carry.
pub fn datatype(element: TensorElementType) -> Option<Datatype> {
    Some(match element {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::Bfloat16 => Datatype::Bf16,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}

fn element(datatype: Datatype) -> TensorElementType {
    match datatype {
        Datatype::Bool => TensorElementType::Bool,
        Datatype::Uint8 => TensorElementType::Uint8,
        Datatype::Uint16 => TensorElementType::Uint16,
        Datatype::Uint32 => TensorElementType::Uint32,
        Datatype::Uint64 => TensorElementType::Uint64,
        Datatype::Int8 => TensorElementType::Int8,
        Datatype::Int16 => TensorElementType::Int16,
        Datatype::Int32 => TensorElementType::Int32,
        Datatype::Int64 => TensorElementType::Int64,
        Datatype::Fp16 => TensorElementType::Float16,
        Datatype::Fp32 => TensorElementType::Float32,
        Datatype::Fp64 => TensorElementType::Float64,
        Datatype::Bf16 => TensorElementType::Bfloat16,
        Datatype::Bytes => TensorElementType::String,
    }
}

/// A runtime value over memory that it borrows.
pub struct Borrowed<'a> {
    value: DynValue,
    memory: PhantomData<&'a mut [u8]>,
}

impl Borrowed<'_> {
    /// The value.
    pub fn value(&self) -> &DynValue {
        &self.value
    }
}

/// A tensor over `bytes`, which are read in place. The caller has checked that they are aligned to the element and as
/// many as the shape needs; the runtime refuses too few.
pub fn borrow<'a>(
    bytes: &'a [u8],
    datatype: Datatype,
    shape: &[i64],
    memory: &MemoryInfo<'_>,
    allocator: &Allocator,
) -> ort::Result<Borrowed<'a>> {
    let place = (bytes.as_ptr().cast_mut(), bytes.len());
    // SAFETY: the runtime only reads them, because graph inputs are never written; `Borrowed` keeps the borrow as long as
    // the value lives.
    unsafe { over(place, datatype, shape, memory, allocator) }
}

/// A tensor over `bytes`, which a run may write as its output. The caller has checked them as for [`borrow`].
pub fn borrow_mut<'a>(
    bytes: &'a mut [u8],
    datatype: Datatype,
    shape: &[i64],
    memory: &MemoryInfo<'_>,
    allocator: &Allocator,
) -> ort::Result<Borrowed<'a>> {
    let place = (bytes.as_mut_ptr(), bytes.len());
    // SAFETY: `Borrowed` keeps them borrowed mutably as long as the value lives.
    unsafe { over(place, datatype, shape, memory, allocator) }
}

/// # Safety
/// The bytes live as long as the value, and nothing else writes them; or reads them, if the value is an output.
unsafe fn over<'a>(
    (bytes, len): (*mut u8, usize),
    datatype: Datatype,
    shape: &[i64],
    memory: &MemoryInfo<'_>,
    allocator: &Allocator,
) -> ort::Result<Borrowed<'a>> {
    let mut value = ptr::null_mut();
    // SAFETY: the pointers are valid for the lengths beside them during the call.
    let status = unsafe {
        (ort::api().CreateTensorWithDataAsOrtValue)(
            memory.ptr(),
            bytes.cast(),
            len,
            shape.as_ptr(),
            shape.len(),
            element(datatype).into(),
            &raw mut value,
        )
    };
    // SAFETY: `status` comes from the call above and is used once.
    unsafe { ort::Error::result_from_status(status) }?;
    let value = NonNull::new(value).ok_or_else(|| ort::Error::new("the runtime made no tensor"))?;
    // SAFETY: `value` is a fresh tensor that nobody else owns; dropping it releases the value, not the memory.
    let value = unsafe { DynValue::from_ptr(value, Some(allocator)) };
    Ok(Borrowed { value, memory: PhantomData })
}

/// Names of all inputs and outputs of a graph, as a run names them.
pub struct Names {
    inputs: Vec<CString>,
    outputs: Vec<CString>,
}

impl Names {
    /// Those of this session.
    pub fn of(session: &Session) -> ort::Result<Names> {
        let name = |outlet: &Outlet| {
            CString::new(outlet.name()).map_err(|_| ort::Error::new("a name in the graph contains a zero byte"))
        };
        let all = |outlets: &[Outlet]| outlets.iter().map(name).collect::<ort::Result<Vec<_>>>();
        Ok(Names { inputs: all(session.inputs())?, outputs: all(session.outputs())? })
    }
}

/// Runs a session on one value per input. An output for which there is a place is written there; the others are returned,
/// each at the index of its output. It fails if an output has another type or shape than its place.
pub fn run(
    session: &mut Session,
    names: &Names,
    options: &RunOptions,
    inputs: &[&DynValue],
    places: &[Option<Borrowed<'_>>],
) -> ort::Result<Vec<Option<DynValue>>> {
    if inputs.len() != names.inputs.len() {
        return Err(ort::Error::new(format!("{} values for {} inputs", inputs.len(), names.inputs.len())));
    }
    let pointers = |names: &[CString]| names.iter().map(|name| name.as_ptr()).collect::<Vec<_>>();
    let (input_names, output_names) = (pointers(&names.inputs), pointers(&names.outputs));
    let values: Vec<*const ort::sys::OrtValue> = inputs.iter().map(|value| value.ptr()).collect();
    let place = |at: usize| places.get(at).and_then(Option::as_ref);
    let mut outputs: Vec<*mut ort::sys::OrtValue> =
        (0..output_names.len()).map(|at| place(at).map_or(ptr::null_mut(), |of| of.value.ptr().cast_mut())).collect();
    // SAFETY: all arrays have as many entries as the numbers beside them say, names end with NUL, and all of it lives
    // during the call; the session is borrowed mutably, so that nothing else runs it.
    let status = unsafe {
        (ort::api().Run)(
            session.ptr().cast_mut(),
            options.ptr(),
            input_names.as_ptr(),
            values.as_ptr(),
            values.len(),
            output_names.as_ptr(),
            output_names.len(),
            outputs.as_mut_ptr(),
        )
    };
    // SAFETY: `status` comes from the call above and is used once.
    unsafe { ort::Error::result_from_status(status) }?;
    let allocator = session.allocator();
    let fresh = |(at, value): (usize, *mut ort::sys::OrtValue)| {
        if place(at).is_some() {
            return Ok(None);
        }
        let value = NonNull::new(value).ok_or_else(|| ort::Error::new("the runtime gave no value for an output"))?;
        // SAFETY: the runtime made the value for this call, and nobody else owns it.
        Ok(Some(unsafe { DynValue::from_ptr(value, Some(allocator)) }))
    };
    outputs.into_iter().enumerate().map(fresh).collect()
}

/// The memory of a tensor of fixed-size elements that lies in host memory.
pub fn bytes(value: &DynValue) -> ort::Result<&[u8]> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(ort::Error::new(format!("output is a {}, not a tensor", value.dtype())));
    };
    let size = datatype(*ty).map_or(0, Datatype::size);
    if size == 0 {
        return Err(ort::Error::new(format!("output has elements of type {ty}")));
    }
    let mut data = ptr::null_mut();
    // SAFETY: `value` is a live tensor; the call only returns where its data is.
    let status = unsafe { (ort::api().GetTensorMutableData)(value.ptr().cast_mut(), &raw mut data) };
    // SAFETY: `status` comes from the call above and is used once.
    unsafe { ort::Error::result_from_status(status) }?;
    if data.is_null() {
        return Ok(&[]);
    }
    // SAFETY: a tensor of the CPU holds as many elements of that size as its shape says, and lives as long as `value`.
    Ok(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), shape.num_elements() * size) })
}

/// Which provider placed how many nodes, in the runtime's own names. The session must have been made with the entry
/// `session.record_ep_graph_assignment_info`.
pub fn placement(session: &Session) -> ort::Result<Vec<(String, usize)>> {
    let api = ort::api();
    let (mut graphs, mut count) = (ptr::null(), 0);
    // SAFETY: `session` is live; the array that is returned belongs to it.
    let status = unsafe { (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &raw mut graphs, &raw mut count) };
    // SAFETY: `status` comes from the call above and is used once.
    unsafe { ort::Error::result_from_status(status) }?;
    if graphs.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the runtime returned `count` pointers at `graphs`.
    let graphs = unsafe { std::slice::from_raw_parts(graphs, count) };
    let mut placed: Vec<(String, usize)> = Vec::new();
    for graph in graphs {
        let (mut name, mut nodes, mut count) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `graph` is one of the session's subgraphs; name and nodes belong to it.
        let status = unsafe { (api.EpAssignedSubgraph_GetEpName)(*graph, &raw mut name) };
        // SAFETY: as above.
        unsafe { ort::Error::result_from_status(status) }?;
        // SAFETY: as above.
        let status = unsafe { (api.EpAssignedSubgraph_GetNodes)(*graph, &raw mut nodes, &raw mut count) };
        // SAFETY: as above.
        unsafe { ort::Error::result_from_status(status) }?;
        let name = text(name);
        match placed.iter_mut().find(|row| row.0 == name) {
            Some(row) => row.1 += count,
            None => placed.push((name, count)),
        }
    }
    Ok(placed)
}

/// Providers compiled into the library, in the runtime's own names.
pub fn available_providers() -> ort::Result<Vec<String>> {
    let (mut names, mut count) = (ptr::null_mut(), 0);
    // SAFETY: the call fills both places.
    let status = unsafe { (ort::api().GetAvailableProviders)(&raw mut names, &raw mut count) };
    // SAFETY: `status` comes from the call above and is used once.
    unsafe { ort::Error::result_from_status(status) }?;
    let Ok(length) = usize::try_from(count) else { return Ok(Vec::new()) };
    // SAFETY: the runtime returned `count` strings at `names`, which it frees below and not before.
    let list = unsafe { std::slice::from_raw_parts(names, length) }.iter().map(|name| text(*name)).collect();
    // SAFETY: `names` and `count` are as they were returned, and are not used afterwards.
    let status = unsafe { (ort::api().ReleaseAvailableProviders)(names, count) };
    // SAFETY: as above.
    unsafe { ort::Error::result_from_status(status) }?;
    Ok(list)
}

/// A library that was opened for good: its code may run until the process ends.
pub struct Library(NonNull<c_void>);

impl Library {
    /// Whether it has a function of this name.
    pub fn has(&self, name: &CStr) -> bool {
        self.symbol(name).is_some()
    }

    /// Where the function of this name is.
    pub fn symbol(&self, name: &CStr) -> Option<NonNull<c_void>> {
        // SAFETY: the handle is one that dlopen returned and that is never closed; the name ends with NUL.
        NonNull::new(unsafe { libc::dlsym(self.0.as_ptr(), name.as_ptr()) })
    }
}

/// Opens a library, all that it needs included. Its initialisers run. The error is the loader's text.
pub fn open_library(path: &Path) -> Result<Library, String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the name ends with NUL. What the library's initialisers do is the library's business; this process is there
    // for that.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    NonNull::new(library).map(Library).ok_or_else(|| {
        // SAFETY: after a failure it returns a string that stays until this thread's next call to the loader, or null.
        text(unsafe { libc::dlerror() })
    })
}

/// Version of the library at `path`, which is loaded already.
pub fn version(path: &Path) -> Option<String> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: both strings end with NUL; RTLD_NOLOAD runs no code of the library. The handle is kept for good.
    let symbol = unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY);
        if library.is_null() {
            return None;
        }
        libc::dlsym(library, c"OrtGetApiBase".as_ptr())
    };
    if symbol.is_null() {
        return None;
    }
    // SAFETY: the symbol of that name has this type in every version of the runtime.
    let base: extern "C" fn() -> *const ort::sys::OrtApiBase = unsafe { std::mem::transmute(symbol) };
    // SAFETY: the function returns a table that lives as long as the library.
    let table = unsafe { base().as_ref() }?;
    // SAFETY: the entry takes no arguments and returns a static string.
    Some(text(unsafe { (table.GetVersionString)() }))
}

/// What a provider says of its own version, if it does.
pub fn provider_version(device: &Device<'_>) -> Option<String> {
    // SAFETY: the device is alive; the pairs belong to it, and a value is a string that lives as long or null.
    let version = unsafe {
        let pairs = (ort::api().EpDevice_EpMetadata)(device.ptr());
        if pairs.is_null() {
            return None;
        }
        text((ort::api().GetKeyValue)(pairs, c"version".as_ptr()))
    };
    (!version.is_empty()).then_some(version)
}

/// Vendor and number of the kind of a device.
pub fn hardware_name(device: &Device<'_>) -> String {
    let hardware = device.hardware_device();
    format!("{} {:04x}", hardware.vendor().unwrap_or("unknown vendor"), hardware.id())
}

fn text(from: *const c_char) -> String {
    if from.is_null() {
        return String::new();
    }
    // SAFETY: every caller passes a NUL-terminated string of the runtime that is alive.
    unsafe { CStr::from_ptr(from) }.to_string_lossy().into_owned()
}
